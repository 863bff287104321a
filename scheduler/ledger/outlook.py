"""What the ledger has ahead: how many mails leave now, and when the next do. Only reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from scheduler.database.engine import execute
from scheduler.database.models import Delivery
from scheduler.ledger.states import State

_INSTANTS = 500  # looked at, for the next few minutes in which mails leave
_D = Delivery.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Leaving:
    """So many mails of one message that leave within one minute, the first of them at `at` (UTC)."""

    at: datetime
    message: str
    mails: int


@dataclass(frozen=True)
class Outlook:
    """What is pending of one webinar: what leaves at once, what is later, and the next of that."""

    at_once: int
    later: int
    next: tuple[Leaving, ...]


def outlook(conn: Connection, now: datetime, webinar: str, limit: int = 5) -> Outlook:
    """What leaves if the webinar is live: what is of no use any more does not, nor what is held."""
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
    """What is tried again has an instant of its own for each mail."""
    found: dict[tuple[datetime, str], Leaving] = {}
    for one in leaving:
        key = (one.at.replace(second=0, microsecond=0), one.message)
        first = found.get(key)
        found[key] = replace(first, mails=first.mails + one.mails) if first else one
    return list(found.values())


def changes_waiting(conn: Connection) -> int:
    """How many changed rows of `registrants` the service has not planned from yet."""
    return int(execute(conn, "SELECT count(*) FROM registrant_change").scalar_one())


def _count(conn: Connection, condition: ColumnElement[bool]) -> int:
    return int(conn.execute(select(func.count()).select_from(_D).where(condition)).scalar_one())
