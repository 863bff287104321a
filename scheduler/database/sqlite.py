"""SQLite: one file for one service. WAL, full sync; writing transactions take the write lock when they begin."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from scheduler.access import refused
from scheduler.database.dialect import DatabaseInUse, Dialect

BUSY_SECONDS = 30
_GUEST_BUSY_SECONDS = 2


class SQLite(Dialect):
    takes_replicas = False
    # https://www.sqlite.org/optoverview.html#manual_control_of_query_plans_using_cross_join
    join_next = "CROSS JOIN"
    skip_locked = update_skipping = share_skipping = ""  # there is one writer anyway
    named = SQLiteDialect_pysqlite(paramstyle="named")
    reading = {"reads_only": True}  # noqa: RUF012 (as the base says)
    # A writer that finds the file locked polls it, and a process that writes in a loop may keep it waiting for seconds.
    # One write in 50 ms, without waiting for the disk, delays the service by 3 ms at most.
    guest_pause = 0.05

    def engine(self, url: str, *, guest: bool = False) -> Engine:
        path = make_url(url).database
        if path and path != ":memory:":
            _make_folder(Path(path).parent)
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_guest if guest else _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def unusable(self, url: URL, code: str) -> str:
        file = Path(url.database or "").absolute()
        if file.is_dir():
            return f"{file} is a folder: let DATABASE_URL name a file in it"
        if code.startswith("SQLITE_NOTADB"):
            return (
                f"{file} is not a SQLite database: let DATABASE_URL name another file, or move this one away"
            )
        if code.startswith("SQLITE_CORRUPT"):
            return f"{file} is damaged: restore its last backup"
        if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            error = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            is_closed = file.exists() and not os.access(file, os.R_OK | os.W_OK, effective_ids=True)
            return f"{refused(file, error, file if is_closed else file.parent)}; SQLite keeps files beside it"
        if code.startswith("SQLITE_FULL"):
            return f"the disk of {file} is full: free some space"
        return ""

    def may_plan(self, conn: Connection, what: str) -> bool:
        return True

    def wait_to_plan(self, conn: Connection, what: str) -> None:
        pass

    def lift_limits(self, conn: Connection) -> None:
        pass

    def one_proposer(self, conn: Connection) -> None:
        pass

    def one_migration(self, conn: Connection) -> None:
        pass

    def analyze_grown(self, conn: Connection, *tables: str) -> None:
        pass  # queries fix their own join order

    def clock(self, conn: Connection) -> float:
        return time.time()

    def holders(self, conn: Connection) -> list[int] | None:
        return None

    def rows(self, parameter: str, columns: Mapping[str, str]) -> str:
        cells = ", ".join(
            f"{_cell(number, kind)} AS {name}" for number, (name, kind) in enumerate(columns.items())
        )
        return f"(SELECT {cells} FROM json_each(:{parameter}))"

    def numbers(self, parameter: str) -> str:
        return f"(SELECT value AS number FROM json_each(:{parameter}))"

    def as_numbers(self, numbers: Iterable[int]) -> str:
        return json.dumps(list(numbers))

    def shadow(self, conn: Connection, table: str) -> str:
        query = (
            "SELECT sql FROM main.sqlite_master WHERE tbl_name = :table AND type IN ('table', 'index') AND sql <> ''"
            " ORDER BY type DESC"
        )
        for made in conn.execute(text(query), {"table": table}).scalars().all():
            conn.exec_driver_sql(re.sub(r"(?i)^CREATE (TABLE|(UNIQUE )?INDEX) ", r"CREATE \1 temp.", made))
        return f"main.{table}"

    def indexed_by(self, index: str) -> str:
        return f"INDEXED BY {index}"

    def written(self, instant: datetime) -> str:
        return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

    def skip_ids(self, conn: Connection, table: str, numbers: int) -> None:
        values = {"table": table, "numbers": numbers}
        known = "SELECT 1 FROM sqlite_sequence WHERE name = :table"  # missing until the table's first row
        conn.execute(
            text(f"INSERT INTO sqlite_sequence SELECT :table, 0 WHERE NOT EXISTS ({known})"), {"table": table}
        )
        conn.execute(text("UPDATE sqlite_sequence SET seq = seq + :numbers WHERE name = :table"), values)

    def by_index(self, conn: Connection) -> AbstractContextManager[None]:
        return nullcontext()  # queries fix their own join order

    def among(self, column: str, parameter: str) -> str:
        return f"{column} IN (SELECT value FROM json_each(:{parameter}))"

    def equal(self, column: str, value: str) -> str:
        return f"{column} = {value}"

    def column_types(self, conn: Connection, table: str) -> dict[str, str]:
        found = conn.execute(text("SELECT name FROM pragma_table_info(:table)"), {"table": table})
        return dict.fromkeys(found.scalars(), "")

    def triggers(self, conn: Connection, table: str) -> dict[str, bool]:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"
        return dict.fromkeys(conn.execute(text(query), {"table": table}).scalars(), True)

    def limit_lock_wait(self, conn: Connection) -> None:
        pass  # the only lock is the file's, which this transaction holds

    def index_definitions(self, conn: Connection, table: str) -> list[str]:
        query = (
            "SELECT lower(sql) FROM sqlite_master WHERE tbl_name = :table AND sql LIKE 'CREATE UNIQUE INDEX%'"
        )
        return [one.replace('"', "") for one in conn.execute(text(query), {"table": table}).scalars()]

    def not_visible_ascii(self, column: str) -> str:
        return f"{column} GLOB '*[^!-~]*'"

    def beginning(self, column: str, characters: int) -> str:
        # As a BLOB, since text would end at a NUL. A character has four octets at most.
        return f"CAST(substr(CAST({column} AS BLOB), 1, {4 * characters + 1}) AS TEXT)"


def _cell(number: int, kind: str) -> str:
    found = f"json_extract(value, '$[{number}]')"
    return f"CAST({found} AS BLOB)" if kind == "bytea" else found


def lock_file(path: str) -> IO[str]:
    """Lock this file against other services, until the returned file is closed. Raises DatabaseInUse, OSError."""
    file = Path(f"{path}.lock")
    try:
        lock = file.open("a")
    except OSError as error:
        raise OSError(refused(file, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise DatabaseInUse(
            f"another service already runs on {path}: stop it first, or use PostgreSQL to run several"
        ) from error
    return lock


def _make_folder(folder: Path) -> None:
    """Create the database's folder. Raises OSError, in words for the operator."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # for personal data
    except OSError as error:
        raise OSError(refused(folder, error)) from error


def _prepare(connection: Any, _record: Any) -> None:
    _configure(connection, "journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_SECONDS * 1000}")


def _prepare_guest(connection: Any, _record: Any) -> None:
    """Configure a guest's connection: its commits do not wait for the disk; the service's next one syncs them, too."""
    busy = f"busy_timeout={_GUEST_BUSY_SECONDS * 1000}"
    _configure(connection, busy, "synchronous=NORMAL", "wal_autocheckpoint=0")


def _configure(connection: Any, *pragmas: str) -> None:
    connection.isolation_level = None  # BEGIN is issued by _begin
    # A value that another program wrote in Latin-1 must not make a whole result fail.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    # Overwrite deleted data in the file (the default of Debian's build).
    for pragma in (*pragmas, "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(conn: Connection) -> None:
    reads_only = conn.get_execution_options().get("reads_only", False)
    conn.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
