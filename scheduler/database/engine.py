"""Opens the database, brings its schema up to date, and runs transactions beside the event loop.

SQLite is one file for one process: WAL, full sync, every transaction takes the write lock at its beginning.
PostgreSQL is for several replicas. What differs between the two elsewhere is in `Dialect`.
"""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Concatenate, ParamSpec, TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, CursorResult, Engine, bindparam, create_engine, event, make_url, text

from scheduler.database.models import Instant

P = ParamSpec("P")
T = TypeVar("T")

BUSY_SECONDS = 30


class DatabaseInUse(RuntimeError):
    """A second service on the same SQLite file."""


def run(conn: Connection, sql: str, **values: Any) -> CursorResult[Any]:
    """Execute SQL that both engines understand. Datetimes are instants; lists expand in `IN :name`."""
    statement = text(sql)
    for name, value in values.items():
        if isinstance(value, datetime):
            statement = statement.bindparams(bindparam(name, type_=Instant()))
        elif isinstance(value, list | tuple | set | frozenset):
            statement = statement.bindparams(bindparam(name, expanding=True))
    return conn.execute(
        statement, {k: list(v) if isinstance(v, set | frozenset) else v for k, v in values.items()}
    )


class Database:
    """One database: `transaction()` where blocking is fine, `await run(...)` beside the event loop."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._lock: IO[str] | None = None

    def migrate(self) -> None:
        """Bring the schema up to date. Safe when several replicas start at once."""
        config = _migrations()
        with self.engine.begin() as conn:
            if self.is_postgresql:
                conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('webinar-scheduler migrations'))"))
            config.attributes["connection"] = conn
            command.upgrade(config, "head")

    def hold_for_service(self) -> None:
        """Keep every other service off this SQLite file. Raises DatabaseInUse. PostgreSQL takes several."""
        path = self.engine.url.database
        if self.is_postgresql or not path or path == ":memory:":
            return
        self._lock = Path(f"{path}.lock").open("a")  # noqa: SIM115 (held until close)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise DatabaseInUse(
                f"another service runs on {path} already: stop it first, or use PostgreSQL for several"
            ) from error

    def revisions(self) -> tuple[str | None, str | None]:
        """The schema's revision in this database (None: there are no tables yet), and the one of this program."""
        with self.reading() as conn:
            there = MigrationContext.configure(conn).get_current_revision()
        return there, ScriptDirectory.from_config(_migrations()).get_current_head()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.engine.begin() as conn:
            yield conn

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment, changes nothing and keeps nobody waiting."""
        options = {"isolation_level": "REPEATABLE READ"} if self.is_postgresql else {"reads_only": True}
        with self.engine.connect().execution_options(**options) as conn, conn.begin():
            yield conn

    async def run(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(connection, ...)` in one transaction, in the database's own thread."""

        def in_transaction() -> T:
            with self.engine.begin() as conn:
                return function(conn, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._thread, in_transaction)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self.engine.dispose()
        if self._lock:
            self._lock.close()


def is_postgresql(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


def skip_locked(conn: Connection) -> str:
    """What keeps two replicas from claiming the same rows; SQLite has one writer anyway."""
    return "FOR UPDATE SKIP LOCKED" if is_postgresql(conn) else ""


def one_planner(conn: Connection) -> None:
    """Let one replica plan at a time, until the end of the transaction."""
    if is_postgresql(conn):
        conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('webinar-scheduler planning'))"))


def lease_clock(conn: Connection) -> float:
    """Seconds of real time that all holders of leases share: the server's clock on PostgreSQL, this
    process's monotonic clock on SQLite, whose leases end with the process."""
    if is_postgresql(conn):
        return float(conn.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    return time.monotonic()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True, pool_size=2, connect_args={"connect_timeout": 10})
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    # A name that another program wrote in Latin-1 must not end the whole result.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(conn: Connection) -> None:
    reads_only = conn.get_execution_options().get("reads_only", False)
    conn.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
