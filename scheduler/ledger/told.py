"""Facts that each person was told. Notices go to people for whom they are no longer true, and to nobody else.

A row of `told` is written before a mail may go out, kept while the mail is under way or in doubt, and deleted once a
relay has accepted a later mail. The row of a mail that was refused or deferred is deleted: nobody read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from scheduler.database.dialect import Dialect
from scheduler.database.engine import as_list, dialect
from scheduler.database.models import Told as ToldRow
from scheduler.database.models import table
from scheduler.ledger.entries import AttemptKey, ToldEntry
from scheduler.ledger.statements import execute_named
from scheduler.webinar.links import forwards, shared_link
from scheduler.webinar.model import Webinar
from scheduler.webinar.told import Told, facts_of


def record_told(conn: Connection, entries: Sequence[ToldEntry]) -> None:
    """Record the facts that these mails tell, before they may go out. Idempotent.

    A mail that only repeats the one thing that its reader was told for certain needs no row.
    """
    engine = dialect(conn)
    rows = [
        (one.mail.uid, one.mail.delivery_id, one.mail.lease_token, _written(engine, one.told.start),
         _written(engine, one.told.end), one.told.join_url, one.told.cancelled, one.invited)
        for one in entries
    ]  # fmt: skip
    execute_named(conn, "record_told", facts=json.dumps(rows))


def accept_told(conn: Connection, mails: Sequence[AttemptKey]) -> None:
    """Mark the facts of these mails as accepted by a relay, and delete those of earlier mails. A mail without an
    invitation does not replace an earlier one with an invitation."""
    found = execute_named(conn, "accept_told", mails=_listed(mails))
    if ids := list(found.scalars()):
        execute_named(conn, "forget_what_was_told_before", ids=as_list(conn, ids))


def refuse_told(conn: Connection, mails: Sequence[AttemptKey]) -> None:
    """Delete the facts of these mails, which no relay accepted."""
    execute_named(conn, "refuse_told", mails=_listed(mails))


def _listed(mails: Sequence[AttemptKey]) -> str:
    return json.dumps([(one.uid, one.delivery_id, one.lease_token) for one in mails])


def _written(engine: Dialect, instant: datetime | None) -> str | None:
    return engine.written(instant) if instant else None


def replan_misinformed(conn: Connection, registration_ids: Iterable[int]) -> None:
    """Have people planned again who were told outdated facts: an edit may be planned while their mail is under way."""
    execute_named(conn, "plan_who_was_told_otherwise", ids=as_list(conn, sorted(set(registration_ids))))


def last_told(conn: Connection, uids: Sequence[str]) -> dict[str, Told]:
    """The facts that each of these people was last told: by a mail that a relay accepted, if there is one. Rows whose
    facts are not known are left out."""
    told = table(ToldRow)
    rows = conn.execute(select(told).where(told.c.uid.in_(uids)).order_by(told.c.accepted, told.c.id))
    return {
        row.uid: Told(row.starts_at, row.ends_at, row.join_url, row.cancelled)
        for row in rows
        if row.cancelled or row.starts_at is not None
    }


def count_misinformed(
    conn: Connection, now: datetime, webinar: Webinar, return_within: timedelta, pages_url: str = ""
) -> int:
    """The number of people who would be notified if this revision governed, as they were told something else. People
    whose rows are gone for less than `return_within` count, since a reload may be under way."""
    if webinar.end <= now:
        return 0
    true = facts_of(webinar, shared_link(webinar, pages_url))
    counted = execute_named(
        conn,
        "count_people_told_otherwise",
        webinar=webinar.id,
        gone_since=now - return_within,
        start=true.start or now,
        end=true.end or now,
        cancelled=true.cancelled,
        link=true.join_url,
        forwards=forwards(webinar, pages_url),
    )
    return int(counted.scalar_one())
