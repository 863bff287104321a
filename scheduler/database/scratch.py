"""A scratch copy of the database, to see what files would change.

Temporary tables shadow those of the same names for one transaction, which is rolled back. All other tables are read
from one snapshot, and no lock is taken that a service needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from scheduler.database.engine import Database, dialect, execute

SMALL = (
    "webinar", "webinar_revision", "file_seen", "planned_webinar", "planned_message", "due_time", "zone_evidence",
    "row_set_aside", "former_uid", "forgotten", "purge",
)  # fmt: skip
OF_WEBINARS = {
    "registrant_change": "webinar IN :webinars OR webinar = ''",
    "registration": "webinar IN :webinars",
    "delivery": "webinar IN :webinars",
    "told": "uid IN (SELECT uid FROM registration)",
}


@contextmanager
def scratch(database: Database, webinars: Collection[str] = ()) -> Iterator[Connection]:
    """A transaction in which files can be proposed and, for these webinars, planned. It is rolled back."""
    options = dict(database.dialect.reading) | {"scratch": True}
    with database.engine.connect().execution_options(**options) as conn, conn.begin() as transaction:
        for table in SMALL:
            _copy(conn, table, "TRUE")
        if webinars:
            for table, which in OF_WEBINARS.items():
                _copy(conn, table, which, **({"webinars": webinars} if ":" in which else {}))
        else:
            dialect(conn).shadow(conn, "registrant_change")  # rows of a new webinar are marked there
        dialect(conn).analyze_grown(conn, *SMALL, *(OF_WEBINARS if webinars else ()))
        yield conn
        transaction.rollback()


def _copy(conn: Connection, table: str, which: str, **values: object) -> None:
    original = dialect(conn).shadow(conn, table)
    execute(conn, f"INSERT INTO {table} SELECT * FROM {original} WHERE {which}", **values)
