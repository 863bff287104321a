"""The outlook of a webinar: how many mails leave now, and when the next ones do. Only reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from scheduler.database.engine import execute
from scheduler.database.models import Delivery, table
from scheduler.ledger.states import State

_INSTANTS = 500  # distinct due times that are read to find the next minutes in which mails leave
_D = table(Delivery)


@dataclass(frozen=True)
class Leaving:
    """The mails of one message that leave within one minute, the first of them at `at` (UTC)."""

    at: datetime
    message: str
    mails: int


@dataclass(frozen=True)
class Outlook:
    """The pending mails of one webinar: how many leave at once and how many later, and the next of the latter."""

    at_once: int
    later: int
    next: tuple[Leaving, ...]


def outlook(conn: Connection, now: datetime, webinar: str, limit: int = 5) -> Outlook:
    """The mails that leave if the webinar is live: pending and still useful."""
    pending = (_D.c.webinar == webinar) & (_D.c.state == State.PENDING) & (_D.c.expires_at > now)
    due, later = _D.c.next_attempt_at <= now, _D.c.next_attempt_at > now
    rows = conn.execute(
        select(_D.c.next_attempt_at, _D.c.message, func.count())
        .where(pending & later)
        .group_by(_D.c.next_attempt_at, _D.c.message)
        .order_by(_D.c.next_attempt_at, _D.c.message)
        .limit(_INSTANTS)
    )
    ahead = _by_minute(Leaving(*row) for row in rows)[:limit]
    return Outlook(_count(conn, pending & due), _count(conn, pending & later), tuple(ahead))


def _by_minute(leaving: Iterable[Leaving]) -> list[Leaving]:
    """Group by minute: mails that are tried again have an instant each."""
    found: dict[tuple[datetime, str], Leaving] = {}
    for one in leaving:
        key = (one.at.replace(second=0, microsecond=0), one.message)
        first = found.get(key)
        found[key] = replace(first, mails=first.mails + one.mails) if first else one
    return list(found.values())


def changes_waiting(conn: Connection) -> int:
    """The number of changes of `registrants` that the service has not absorbed yet."""
    return int(execute(conn, "SELECT count(*) FROM registrant_change").scalar_one())


def _count(conn: Connection, condition: ColumnElement[bool]) -> int:
    return int(conn.execute(select(func.count()).select_from(_D).where(condition)).scalar_one())
