"""What each person was told, and whether it is still true: notices follow from nothing else.

A row of `told` is written before a mail may go out, kept while the mail is under way or in doubt, and cleared once a
relay has accepted a later mail. A mail that was refused or deferred told nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from scheduler.database.dialect import Dialect
from scheduler.database.engine import as_list, dialect
from scheduler.database.models import Told as ToldRow
from scheduler.ledger.statements import execute_named
from scheduler.webinar.model import Webinar
from scheduler.webinar.told import Told, facts_of


@dataclass(frozen=True)
class AttemptKey:
    """One attempt of a delivery to the holder of a UID: the key of table `told`."""

    uid: str
    delivery_id: int
    lease_token: str


@dataclass(frozen=True)
class Telling:
    """A mail that is about to go out, and what it tells its reader."""

    mail: AttemptKey
    told: Told
    invited: bool
    """Whether it carries an invitation, or is a notice: such a mail counts for more than others."""


def tell(conn: Connection, tellings: Sequence[Telling]) -> None:
    """Write down what these mails tell, before they may go out. Idempotent.

    A mail that only repeats the one thing that its reader was told for certain needs no row.
    """
    engine = dialect(conn)
    rows = [
        (one.mail.uid, one.mail.delivery_id, one.mail.lease_token, _written(engine, one.told.start),
         _written(engine, one.told.end), one.told.join_url, one.told.cancelled, one.invited)
        for one in tellings
    ]  # fmt: skip
    execute_named(conn, "tell", tellings=json.dumps(rows))


def accepted(conn: Connection, mails: Sequence[AttemptKey]) -> None:
    """A relay accepted these mails: what earlier mails told counts no more. For whoever was sent an invitation the
    last one counts, not a later mail without."""
    found = execute_named(conn, "accept_told", mails=_listed(mails))
    if now := list(found.scalars()):
        execute_named(conn, "forget_what_was_told_before", ids=as_list(conn, now))


def refused(conn: Connection, mails: Sequence[AttemptKey]) -> None:
    """No relay took these mails: they told nothing."""
    execute_named(conn, "refuse_told", mails=_listed(mails))


def _listed(mails: Sequence[AttemptKey]) -> str:
    return json.dumps([(one.uid, one.delivery_id, one.lease_token) for one in mails])


def _written(engine: Dialect, instant: datetime | None) -> str | None:
    return engine.written(instant) if instant else None


def plan_who_was_told_otherwise(conn: Connection, registration_ids: Iterable[int]) -> None:
    """Have these people planned again if what they were told is not true: an edit may have been planned while their
    mail was under way."""
    execute_named(conn, "plan_who_was_told_otherwise", ids=as_list(conn, sorted(set(registration_ids))))


def last_told(conn: Connection, uids: Sequence[str]) -> dict[str, Told]:
    """What each of these people was last told, for certain if anything was. What is not known is left out."""
    table = ToldRow.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table).where(table.c.uid.in_(uids)).order_by(table.c.accepted, table.c.id))
    return {
        row.uid: Told(row.starts_at, row.ends_at, row.join_url, row.cancelled)
        for row in rows
        if row.cancelled or row.starts_at is not None
    }


def people_told_otherwise(conn: Connection, now: datetime, webinar: Webinar, return_within: timedelta) -> int:
    """How many people would be notified if this governed: who was told something else. People whose rows are gone for
    less than `return_within` count, as in the middle of a reload."""
    if webinar.end <= now:
        return 0
    true = facts_of(webinar, webinar.join_url)
    counted = execute_named(
        conn,
        "count_people_told_otherwise",
        webinar=webinar.id,
        gone_since=now - return_within,
        start=true.start or now,
        end=true.end or now,
        cancelled=true.cancelled,
        link=true.join_url,
    )
    return int(counted.scalar_one())
