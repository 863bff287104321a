"""Lateness: the oldest due mail of each webinar and message, and whether relays accept mails. Only reads.

Each query reads at most the first `MOST` rows of an index, so it stays fast with a large backlog.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, text

from scheduler.database.engine import dialect
from scheduler.database.models import Instant
from scheduler.ledger.claims import name_of, webinars_with_something_due
from scheduler.ledger.statements import statement

MOST = 1000  # rows of an index
LONGEST = 0.5  # seconds in all for webinars with something due; the others are checked the next time
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Late(NamedTuple):
    """The oldest due mail of one message of one webinar. `due_at` is in UTC."""

    webinar: str
    message: str
    due_at: datetime


class Accepted(NamedTuple):
    """The mails that relays last accepted from any service. A changed value means that they accepted another one."""

    at: datetime | None = None
    attempt: int | None = None
    mails: int = 0


@dataclass(frozen=True)
class Lateness:
    """The due mails at one instant, the oldest first, except held ones and those that wait for an edit."""

    late: tuple[Late, ...] = ()
    waiting: int = 0
    """The number of mails that this service could send: unclaimed, or leased by it. At most MOST a webinar count."""
    put_off: int = 0
    """The number of mails that relays deferred since they last accepted one."""
    accepted: Accepted = field(default_factory=Accepted)


def lateness(conn: Connection, now: datetime, holder: int = 0) -> Lateness:
    """The lateness at `now` (UTC), as seen by the service with the number `holder`."""
    accepted = _accepted(conn)
    free = list(_free(conn, now))
    in_hand = _rows(conn, "in_hand_by_message", holders=name_of(holder))
    put_off = [
        row
        for urgency in (0, 1)
        for row in _rows(
            conn, "put_off_by_message", urgency=urgency, now=now, most=MOST, since=accepted.at or _NEVER
        )
    ]
    oldest: dict[tuple[str, str], datetime] = {}
    for row in (*free, *in_hand, *put_off):
        key = (row.webinar, row.message)
        oldest[key] = min(row.due_at, oldest.get(key, row.due_at))
    late = sorted((Late(*key, due_at) for key, due_at in oldest.items()), key=lambda one: one.due_at)
    return Lateness(tuple(late), _mails(free) + _mails(in_hand), _mails(put_off), accepted)


def _free(conn: Connection, now: datetime) -> Iterator[Row[Any]]:
    """The oldest unclaimed mails by webinar and message, in random order, so that each of many webinars has its
    turn."""
    end = time.monotonic() + LONGEST
    for urgency in (0, 1):
        for webinar in webinars_with_something_due(conn, now, urgency):
            yield from _rows(conn, "due_by_message", webinar=webinar, urgency=urgency, now=now, most=MOST)
            if time.monotonic() > end:
                break


def _accepted(conn: Connection) -> Accepted:
    query = text(statement("last_accepted", dialect(conn))).columns(at=Instant())
    return Accepted(*conn.execute(query, {"most": MOST}).one())


def _rows(conn: Connection, name: str, **values: Any) -> list[Row[Any]]:
    instants = [
        bindparam(one, type_=Instant()) for one, value in values.items() if isinstance(value, datetime)
    ]
    query = text(statement(name, dialect(conn))).bindparams(*instants).columns(due_at=Instant())
    return list(conn.execute(query, values))


def _mails(rows: list[Row[Any]]) -> int:
    return sum(int(row.mails) for row in rows)
