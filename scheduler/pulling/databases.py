"""Reads a table or a query of another database, of any kind that SQLAlchemy supports, as a CSV.

Access is read-only where the database allows it: PostgreSQL, MySQL, MariaDB and Oracle by a read-only transaction,
SQLite by opening the file so. The privileges of the operator's account limit an organizer's query.
"""

from __future__ import annotations

import csv
import io
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from scheduler.faults import fault, first_line, is_statement_error
from scheduler.pulling.content import MOST_ROWS, Content, SourceFails
from scheduler.redaction import keep_secret, redact
from scheduler.webinar.source import Source

STATEMENT_SECONDS = 60
CONNECT_SECONDS = 10
AT_ONCE = 1000  # rows
_STEPS = 100_000  # SQLite instructions between two checks of the time limit
LONGEST_CELL = 10_000  # characters: no valid value is as long
MOST_COLUMNS = 1000
_READ_ONLY = {
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
}
_EXPLAIN = ("postgresql", "sqlite")
_PACKAGES = {"MySQLdb": "mysqlclient", "cx_Oracle": "oracledb", "psycopg2": "psycopg2-binary"}
"""PyPI packages of drivers that are not named like their modules."""


def read_database(url: str, source: Source, into: Content) -> None:
    """Copy the source's table or query into `into`. Raises SourceFails."""
    _must_say_what(source)
    place, into.is_result = source.variable, True
    with _told(place):
        engine = _engine(url, place)
        try:
            with engine.connect().execution_options(postgresql_readonly=True) as conn:
                _limit(conn)
                query = source.query or _whole(engine, str(source.table))
                if conn.dialect.name in _EXPLAIN:
                    with _told(place, its_words=True):
                        conn.exec_driver_sql(
                            f"EXPLAIN {query}", execution_options={"no_parameters": True}
                        ).close()
                _copy(conn, query, into)
        finally:
            engine.dispose()


def check_database(url: str, source: Source) -> None:
    """Check the address and its driver without connecting. Raises SourceFails."""
    _must_say_what(source)
    with _told(source.variable):
        _engine(url, source.variable)


def _must_say_what(source: Source) -> None:
    if not (source.table or source.query):
        raise SourceFails(f"{source.variable} is a database, and [source] says neither table nor query")


def _engine(url: str, place: str) -> Engine:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise SourceFails(f"{place} is not the address of a database (not shown)") from None
    keep_secret(str(address.password or ""), *(str(value) for value in address.query.values()))
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    try:
        if address.get_backend_name() == "sqlite":
            path = quote(address.database or "")
            return create_engine(
                "sqlite://",
                poolclass=NullPool,
                creator=lambda: sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=CONNECT_SECONDS),
            )
        limits = {"connect_timeout": CONNECT_SECONDS} if address.get_backend_name() in _TAKE_TIMEOUT else {}
        return create_engine(address, poolclass=NullPool, connect_args=limits)
    except NoSuchModuleError:
        raise SourceFails(f"{place}: SQLAlchemy does not know {address.drivername}") from None
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(error.name or "", error.name)
        hint = f"pip install {package}, where the service runs"
        raise SourceFails(f"{place}: the driver {error.name} is not installed; {hint}") from None


_TAKE_TIMEOUT = ("postgresql", "mysql", "mariadb")


def _limit(conn: Connection) -> None:
    name = conn.dialect.name
    if name == "postgresql":
        conn.exec_driver_sql(f"SET LOCAL statement_timeout = {STATEMENT_SECONDS * 1000}")
    elif name == "sqlite":
        conn.exec_driver_sql("PRAGMA query_only = ON")
        connection: Any = conn.connection.driver_connection
        connection.text_factory = lambda octets: octets.decode("utf-8", "replace")
        end = time.monotonic() + STATEMENT_SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    elif name in _READ_ONLY:
        conn.exec_driver_sql(_READ_ONLY[name])


def _whole(engine: Engine, table: str) -> str:
    quoted = engine.dialect.identifier_preparer.quote
    return f"SELECT * FROM {'.'.join(quoted(part) for part in table.split('.'))}"


def _copy(conn: Connection, query: str, into: Content) -> None:
    options = {"stream_results": True, "yield_per": AT_ONCE, "no_parameters": True}
    result = conn.exec_driver_sql(query, execution_options=options)
    headers = list(result.keys())
    if len(headers) > MOST_COLUMNS:
        raise SourceFails(f"the result has more than {MOST_COLUMNS} columns")
    into.add(_lines([headers]))
    rows = 0
    for piece in result.partitions():
        rows += len(piece)
        if rows > MOST_ROWS:
            raise SourceFails(f"the result has more than {MOST_ROWS:,} rows")
        into.add(_lines([as_text(cell) for cell in row] for row in piece))


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue().encode("utf-8", "replace")


def as_text(cell: object) -> str:
    """A database value as a spreadsheet would show it, cut to LONGEST_CELL characters."""
    match cell:
        case None:
            return ""
        case bool():
            return "yes" if cell else "no"
        case datetime():
            return cell.isoformat(" ")
        case date():
            return cell.isoformat()
        case bytes() | bytearray() | memoryview():
            text = bytes(cell[: 4 * LONGEST_CELL]).decode("utf-8", "replace")
        case _:
            text = str(cell)
    return text[:LONGEST_CELL].replace("\0", "")


@contextmanager
def _told(place: str, *, its_words: bool = False) -> Iterator[None]:
    """Turn database errors into SourceFails. `its_words`: show the database's own message. Only EXPLAIN may, as its
    errors hold no values; those of a running statement can, as by `nextval(email)`."""
    try:
        yield
    except DBAPIError as error:
        shows = its_words and (is_statement_error(error) or fault(error) == "SQLITE_SCHEMA")
        words = f": {redact(first_line(error))[:200]}" if shows else ""
        raise SourceFails(
            f"{place}: the database refuses or does not answer ({fault(error)}){words}"
        ) from None
    except (SQLAlchemyError, OSError, ValueError, ImportError) as error:
        raise SourceFails(f"{place}: the database cannot be read ({type(error).__name__})") from None
