"""The database: opens it, migrates its schema, and runs transactions in threads beside the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from enum import Enum, auto
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import IO, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, CursorResult, TextClause, bindparam, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError

from scheduler.database.dialect import Dialect
from scheduler.database.file import FileState, OpenFile
from scheduler.database.models import Instant
from scheduler.database.postgresql import PostgreSQL
from scheduler.database.sqlite import SQLite, lock_file
from scheduler.faults import error_code, first_line, is_conflict

P = ParamSpec("P")
T = TypeVar("T")

GUEST_READERS = 4  # threads
MOST_TRIES = 5  # of a transaction that conflicts with others

DIALECTS: dict[str, Dialect] = {"sqlite": SQLite(), "postgresql": PostgreSQL()}


def dialect(conn: Connection) -> Dialect:
    """The dialect of this connection's engine."""
    return DIALECTS[conn.dialect.name]


def execute(conn: Connection, sql: str, **values: Any) -> CursorResult[Any]:
    """Execute SQL that both engines understand. Datetimes must be aware; lists expand in `IN :name`, and an
    empty one holds nothing (not for NOT IN)."""
    instants = [name for name, value in values.items() if isinstance(value, datetime)]
    if lists := [name for name, value in values.items() if isinstance(value, _LISTS)]:
        # IN () is no SQL, and SQLAlchemy's instead compares with a number on PostgreSQL; IN (NULL) fits any type.
        values |= {name: list(values[name]) or [None] for name in lists}
        return conn.execute(_statement(sql, frozenset(instants), frozenset(lists)), values)
    engine = dialect(conn)
    values |= {name: engine.written(_aware(values[name])) for name in instants}
    return conn.exec_driver_sql(_prepared(sql, frozenset(instants), engine), values)


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:  # somebody's wall time
        raise ValueError("an instant needs a time zone")
    return instant


_LISTS = (list, tuple, set, frozenset)


@lru_cache(maxsize=512)
def _statement(sql: str, instants: frozenset[str], lists: frozenset[str]) -> TextClause:
    return text(sql).bindparams(
        *(bindparam(name, type_=Instant()) for name in instants),
        *(bindparam(name, expanding=True) for name in lists),
    )


@lru_cache(maxsize=512)  # compiling in SQLAlchemy takes longer than executing in SQLite
def _prepared(sql: str, instants: frozenset[str], engine: Dialect) -> str:
    """The statement compiled for the driver, with named parameters."""
    return str(_statement(sql, instants, frozenset()).compile(dialect=engine.named))


def listed(conn: Connection, parameter: str) -> str:
    """SQL for a table of one column, `number`, made from a bound parameter by `as_list`; also for `id IN …`. The
    statement is the same length for one number and for thousands."""
    return dialect(conn).numbers(parameter)


def as_list(conn: Connection, numbers: Iterable[int]) -> str:
    """The value of a parameter for `listed`."""
    return dialect(conn).as_numbers(numbers)


class Schema(Enum):
    """The schema of a database compared to this program's."""

    NONE = auto()
    """The database has no tables yet."""
    EARLIER = auto()
    CURRENT = auto()


class NewerSchema(RuntimeError):
    """The schema is of a newer version of this program; this one must not use it."""


class Database:
    """A database: `transaction()` where blocking is fine, `await run(...)` beside the event loop."""

    def __init__(self, url: str, url_now: Callable[[], str] | None = None, *, guest: bool = False) -> None:
        """`url_now` returns `url` with the present user name and password for new connections. `guest`: for a process
        beside the service, which must never delay sending: it reads in threads of its own, and on SQLite its writing
        transactions, which must be small, run one by one with pauses."""
        self.dialect = DIALECTS[make_url(url).get_backend_name()]
        self.engine = self.dialect.engine(url, guest=guest)
        if url_now and self.dialect.takes_replicas:
            event.listen(self.engine, "do_connect", partial(_sign_in, url_now))
        self._pause = self.dialect.guest_pause if guest else 0.0
        self._sending = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database-sending")
        # On SQLite a writer that waits polls the lock; in one thread writers take turns instead.
        self._aside = (
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
            if self.dialect.takes_replicas
            else self._sending
        )
        self._reading = ThreadPoolExecutor(GUEST_READERS, "database-reading") if guest else self._aside
        self._lock: IO[str] | None = None
        self._file: OpenFile | None = None

    def migrate(self) -> None:
        """Migrate the schema to this program's. Safe when several replicas start at once. Raises NewerSchema."""
        from alembic import command  # loading takes a quarter of a second, and only `webinar run` migrates
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self.engine.begin() as conn:
            self.dialect.lift_limits(conn)
            self.dialect.one_migration(conn)
            if _schema(conn) is not Schema.CURRENT:
                config.attributes["connection"] = conn
                command.upgrade(config, "head")
        if self._lock and not self._file:
            self._file = OpenFile(self.path)

    def hold_for_service(self) -> None:
        """Lock a database that takes one service against others. Raises DatabaseInUse, OSError."""
        path = self.engine.url.database
        if not self.dialect.takes_replicas and path and path != ":memory:":
            self._lock = lock_file(path)

    @property
    def path(self) -> Path:
        """The path of a SQLite database's file."""
        return Path(self.engine.url.database or "").absolute()

    async def file_state(self) -> FileState:
        """Whether the open SQLite file is still the one at its path; SAME on PostgreSQL."""
        if self._file is None:
            return FileState.SAME
        return await asyncio.get_running_loop().run_in_executor(self._aside, self._file.state)

    def reopen(self) -> None:
        """Open the file that is at the path now, after another one was replaced. No transaction may be under way.
        Raises DatabaseInUse, OSError."""
        self.engine.dispose()
        if self._file:
            self._file.close()
            self._file = None
        if self._lock:
            self._lock.close()
        self.hold_for_service()

    def unusable(self, error: DBAPIError) -> str:
        """Why the database can't be used, in words for the operator, without values."""
        known = self.dialect.unusable(self.engine.url, error_code(error))
        return f"the database can't be used: {known or f'{type(error.orig).__name__}: {first_line(error)}'}"

    def schema(self) -> Schema:
        """The state of the schema. Read-only. Raises NewerSchema."""
        with self.reading() as conn:
            return _schema(conn)

    def revision(self) -> str | None:
        """The revision of its schema, whichever program made it; None if it has no tables yet."""
        with self.reading() as conn:
            return _revision(conn)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.engine.begin() as conn:
            yield conn

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only transaction on one snapshot, which blocks nobody."""
        with self.engine.connect().execution_options(**self.dialect.reading) as conn, conn.begin():
            yield conn

    async def run(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `in_transaction` in a thread, beside the transactions of sending."""
        return await self._beside(self._aside, lambda conn: function(conn, *args, **kwargs))

    async def run_reading(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function that changes nothing in a thread. On SQLite it does not wait for writers."""

        def read() -> T:
            with self.reading() as conn:
                return function(conn, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._reading, read)

    async def run_sending(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `in_transaction` in the thread reserved for sending. It never queues behind `run`; on SQLite it waits
        for an open writing transaction."""
        return await self._beside(self._sending, lambda conn: function(conn, *args, **kwargs))

    async def _beside(self, thread: ThreadPoolExecutor, function: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, self.in_transaction, function)

    def in_transaction(self, function: Callable[[Connection], T]) -> T:
        """Run `function(connection)` in one transaction, and again at once after a conflict with another one, so it
        must have no effects outside the database."""
        tries = 1
        while True:
            try:
                with self.engine.begin() as conn:
                    found = function(conn)
                if self._pause:
                    time.sleep(self._pause)
                return found
            except DBAPIError as error:
                if not is_conflict(error) or tries == MOST_TRIES:
                    raise
                tries += 1

    def close(self) -> None:
        self._sending.shutdown(wait=True)
        self._aside.shutdown(wait=True)
        self._reading.shutdown(wait=True)
        self.engine.dispose()
        if self._file:
            self._file.close()
        if self._lock:
            self._lock.close()


def _sign_in(
    url_now: Callable[[], str], dialect: object, record: object, positional: object, named: dict[str, Any]
) -> None:
    """Set the present user name and password for a new connection (psycopg's keywords)."""
    url = make_url(url_now())
    named.update({"user": url.username, "password": url.password})


def may_plan(conn: Connection, what: str) -> bool:
    """Try to lock a webinar against planning by other services, or absorbing rows ("intake"), until the end of the
    transaction. Returns False, at once, if another one holds the lock."""
    return _is_scratch(conn) or dialect(conn).may_plan(conn, what)


def one_proposer(conn: Connection) -> None:
    """Acquire the lock on decisions about what governs, until the end of the transaction."""
    if not _is_scratch(conn):
        dialect(conn).one_proposer(conn)


def _is_scratch(conn: Connection) -> bool:
    """Whether this transaction changes only a copy of its own (`scratch`), which needs no locks."""
    return bool(conn.get_execution_options().get("scratch", False))


def _schema(conn: Connection) -> Schema:
    revision = _revision(conn)
    if revision is None:
        return Schema.NONE
    *earlier, newest = _revisions()
    if revision not in (*earlier, newest):
        raise NewerSchema(
            f"The database is of a newer version of this program ({revision}, here {newest}): use that version."
        )
    return Schema.CURRENT if revision == newest else Schema.EARLIER


def _revision(conn: Connection) -> str | None:
    if not inspect(conn).has_table("alembic_version"):
        return None
    found: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def newest_revision() -> str:
    """The revision of this program's schema."""
    return _revisions()[-1]


_MIGRATIONS = Path(__file__).parent / "migrations"


@cache
def _revisions() -> tuple[str, ...]:
    """The revisions of the schema that this program knows, from the names of the migrations; the newest last."""
    return tuple(sorted(file.name.partition("_")[0] for file in _MIGRATIONS.glob("versions/[0-9]*.py")))
