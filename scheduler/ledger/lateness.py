"""What is due and has not left: the oldest by webinar and message, and whether relays accept mails. Only reads.

Each look is by index and goes no further than the first `MOST` rows of it, so that a large backlog makes none slow.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, text

from scheduler.database.engine import dialect
from scheduler.database.models import Instant
from scheduler.ledger.claims import name_of
from scheduler.ledger.statements import execute_named, statement

MOST = 1000  # rows of an index
LONGEST = 0.5  # seconds for what is due of all webinars; beyond, the others are looked at the next time
_ANY = 2**62  # higher than any version of a webinar
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Late(NamedTuple):
    """The oldest mail of one message of one webinar that is due: `due_at` in UTC."""

    webinar: str
    message: str
    due_at: datetime


class Accepted(NamedTuple):
    """The last mails that relays accepted, from whichever service: another value means that they accepted more."""

    at: datetime | None = None
    attempt: int | None = None
    mails: int = 0


@dataclass(frozen=True)
class Lateness:
    """What is due at one moment, the oldest first, but for what waits for an edit to take effect or is held."""

    late: tuple[Late, ...] = ()
    waiting: int = 0
    """Mails that this service could send: free, or in its hands. Counted no further than MOST of each webinar."""
    put_off: int = 0
    """Mails that relays put off since they last accepted any."""
    accepted: Accepted = field(default_factory=Accepted)


def lateness(conn: Connection, now: datetime, holder: int = 0) -> Lateness:
    """What is due at `now` (UTC), as the service with this number sees it."""
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
    """In any order, so that each webinar is looked at sooner or later where there are very many."""
    end = time.monotonic() + LONGEST
    for urgency in (0, 1):
        found = execute_named(
            conn, "webinars_with_something_due", urgency=urgency, now=now, version=_ANY, drafts_too=False
        )
        webinars = list(found.scalars())
        for webinar in random.sample(webinars, len(webinars)):
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
