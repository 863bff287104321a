"""Counts for monitoring and `/readyz`. Only reads."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from scheduler.database.engine import execute
from scheduler.database.models import GoverningWebinar, table
from scheduler.ledger.statements import execute_named
from scheduler.ledger.states import State


def count_deliveries(conn: Connection, webinar: str) -> dict[tuple[str, str], int]:
    """The number of deliveries by message and state; under UNKNOWN those that were skipped for an unknown address.
    Reads all deliveries of the webinar: a second or two for a million."""
    rows = execute_named(conn, "count_deliveries", webinar=webinar).mappings()
    return {(row["message"], kind): row[kind] for row in rows for kind in (*State, UNKNOWN) if row[kind]}


UNKNOWN = "unknown"


def count_held(conn: Connection) -> dict[tuple[str, str], int]:
    """The number of held deliveries of live webinars, by webinar and reason."""
    return {(row.webinar, row.reason): row.mails for row in execute_named(conn, "count_held")}


def count_in_doubt(conn: Connection, now: datetime) -> int:
    """The number of deliveries in doubt that are still useful."""
    return int(execute_named(conn, "count_in_doubt", now=now).scalar_one())


def recent_doubts(conn: Connection, since: datetime, most: int) -> int:
    """The number of the newest `most` attempts that ended in doubt after `since`, whether resolved since or not."""
    return int(execute_named(conn, "recent_doubts", since=since, most=most).scalar_one())


def count_rows_set_aside(conn: Connection) -> int:
    return int(execute(conn, "SELECT count(*) FROM row_set_aside").scalar_one())


def live_webinars(conn: Connection, now: datetime, most: int) -> list[str]:
    """Up to `most` live webinars, those whose end is nearest to `now` first."""
    columns = table(GoverningWebinar).c
    rows = conn.execute(select(columns.webinar, columns.ends_at).where(columns.status == "live")).all()

    def distance(row: tuple[str, datetime]) -> timedelta:
        return abs(row[1] - now)

    return [row[0] for row in sorted(((row.webinar, row.ends_at) for row in rows), key=distance)[:most]]


def open_alerts(conn: Connection) -> list[str]:
    """The keys of the open alerts."""
    return list(execute(conn, "SELECT DISTINCT key FROM alert WHERE cleared_at IS NULL").scalars())


def changes_to_absorb(conn: Connection) -> tuple[int, int] | None:
    """The ids of the oldest and the newest change of `registrants` that waits to be absorbed; None if none does."""
    first, last = (
        execute(conn, f"SELECT {end}(id) FROM registrant_change").scalar() for end in ("min", "max")
    )
    return None if first is None or last is None else (first, last)
