"""A ledger restored from a backup: deliveries that may have gone out since are held until an operator decides.

Neither a policy nor planning releases them; `webinar restored` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, select, text

from scheduler.database.engine import as_list, dialect, execute, listed
from scheduler.database.models import Delivery, GoverningWebinar, Registration, table
from scheduler.ledger.entries import AttemptKey, ToldEntry
from scheduler.ledger.outcomes import plan_again
from scheduler.ledger.planning import Governing
from scheduler.ledger.settling import UNSETTLED
from scheduler.ledger.statements import execute_named
from scheduler.ledger.states import Why
from scheduler.ledger.told import accept_told, record_told, replan_misinformed
from scheduler.webinar.model import CANCELLATION, NOTICES, WITHDRAWAL, Webinar
from scheduler.webinar.told import Told

BEYOND = 10**9
"""How many delivery ids are skipped: more than can have been assigned since the restored state. Logs and spools name
deliveries by id, and no id may ever mean another delivery."""
_D = table(Delivery)
# Begins with the condition of its partial index, word for word.
HELD = f"{UNSETTLED} AND state = 'held' AND reason = '{Why.RESTORED}'"


@dataclass(frozen=True)
class Identity:
    """The identity of the ledger in a database, and how often a set-back to an earlier state was noticed."""

    name: str
    restorations: int
    hold_planned: bool
    """Whether deliveries due once everybody is planned are to be held, too: lost registrants are not known yet."""


@dataclass(frozen=True)
class Held:
    """The held mails of one message: their number, how many are still useful, and when they were due (UTC)."""

    webinar: str
    message: str
    mails: int
    useful: int
    first_due: datetime
    last_due: datetime


def identity(conn: Connection) -> Identity:
    """The identity of this database's ledger; empty if it has none yet."""
    row = execute(conn, "SELECT identity, restorations, hold_planned FROM ledger").first()
    return Identity(row.identity, row.restorations, bool(row.hold_planned)) if row else Identity("", 0, False)


def holds_planned(conn: Connection) -> bool:
    """Whether deliveries that are planned now are to be held (`Identity.hold_planned`)."""
    return identity(conn).hold_planned


def hold(conn: Connection, now: datetime) -> int:
    """Record a set-back, and hold deliveries that may have gone out since: now, and again once everybody is planned.
    Returns the number held now."""
    execute(conn, "UPDATE ledger SET restorations = restorations + 1, hold_planned = TRUE")
    dialect(conn).skip_ids(conn, "delivery", BEYOND)
    return _hold_due(conn, now)


def hold_planned(conn: Connection, now: datetime) -> int:
    """Hold due deliveries once everybody is planned, lost registrants included. Returns the number held."""
    execute(conn, "UPDATE ledger SET hold_planned = FALSE WHERE hold_planned")
    return _hold_due(conn, now)


def _hold_due(conn: Connection, now: datetime) -> int:
    """Hold all deliveries that were due by now, and every notice, also those held for another reason."""
    held = execute_named(conn, "hold_restored", now=now).rowcount
    execute_named(conn, "doubt_restored", now=now)
    return held


def count(conn: Connection) -> int:
    """The number of deliveries held for a restored ledger."""
    return int(execute(conn, f"SELECT count(*) FROM delivery WHERE {HELD}").scalar_one())


def held(conn: Connection, now: datetime) -> list[Held]:
    """The held deliveries by webinar and message, ordered by webinar and due time."""
    useful = case((_D.c.expires_at > now, 1), else_=0)
    rows = conn.execute(
        select(
            _D.c.webinar,
            _D.c.message,
            func.count(),
            func.sum(useful),
            func.min(_D.c.due_at),
            func.max(_D.c.due_at),
        )
        .where(text(HELD))
        .group_by(_D.c.webinar, _D.c.message)
    ).all()
    return sorted((Held(*row) for row in rows), key=lambda one: (one.webinar, one.first_due, one.message))


def planned_at(conn: Connection, webinar: str | None = None) -> dict[int, datetime]:
    """When each held delivery was planned (UTC), by id; of one webinar or of all."""
    query = select(_D.c.id, _D.c.planned_at).where(text(HELD)).order_by(_D.c.id)
    if webinar is not None:
        query = query.where(_D.c.webinar == webinar)
    return {row.id: row.planned_at for row in conn.execute(query)}


def send(conn: Connection, now: datetime, ids: Collection[int]) -> int:
    """Release these held deliveries, which did not go out, where still useful. Returns the number released."""
    freed = execute(
        conn,
        f"UPDATE delivery SET state = 'pending', reason = '' WHERE {HELD} AND expires_at > :now"
        f" AND id IN {listed(conn, 'ids')} RETURNING registration_id",
        now=now,
        ids=as_list(conn, ids),
    )
    registrations = freed.scalars().all()
    plan_again(conn, registrations)
    return len(registrations)


def record_sent(
    conn: Connection, at: Mapping[int, datetime | None], why: Why, governing: Mapping[str, Governing]
) -> int:
    """Record that these held deliveries went out, with the time (UTC) where it is known. Returns the number recorded.

    Each counts as having told its reader the facts for which it was planned, so that later edits notify the reader.
    """
    registrations, webinars = table(Registration), table(GoverningWebinar)
    rows = conn.execute(
        select(_D.c.id, _D.c.registration_id, _D.c.webinar, _D.c.message, _D.c.for_start, _D.c.for_end, _D.c.for_link,
               registrations.c.uid, registrations.c.join_url, registrations.c.key, webinars.c.join_url.label("shared"),
               webinars.c.forwards)
        .join_from(_D, registrations, _D.c.registration_id == registrations.c.id)
        .join(webinars, webinars.c.webinar == _D.c.webinar)
        .where(text(HELD), _D.c.id.in_(list(at)))
    ).all()  # fmt: skip
    entries = [_told_entry(row, governing[row.webinar].webinar) for row in rows if row.webinar in governing]
    record_told(conn, entries)
    accept_told(conn, [entry.mail for entry in entries])
    for row in rows:
        execute(
            conn,
            "UPDATE delivery SET state = 'sent', reason = :why, sent_at = :at WHERE id = :id",
            why=why,
            at=at[row.id],
            id=row.id,
        )
    replan_misinformed(conn, [row.registration_id for row in rows])
    return len(rows)


_MAIL = "restored"  # stands for the token of attempts that the ledger has lost


def _told_entry(row: Any, webinar: Webinar) -> ToldEntry:
    notice = row.message in NOTICES
    invites = notice or any(one.id == row.message and one.invitation != "none" for one in webinar.messages)
    if row.message in (CANCELLATION, WITHDRAWAL):
        told = Told(None, None, "", cancelled=True)
    else:
        link = row.for_link or (row.shared + row.key if row.forwards else row.join_url or row.shared)
        told = Told(row.for_start or webinar.start, row.for_end or webinar.end, link)
    return ToldEntry(AttemptKey(row.uid, row.id, _MAIL), told, invites)


def unknown(conn: Connection, ids: Collection[int]) -> set[int]:
    """The ids that no delivery has: those deliveries were planned after the restored state."""
    known = execute(
        conn, f"SELECT id FROM delivery WHERE id IN {listed(conn, 'ids')}", ids=as_list(conn, ids)
    )
    return set(ids) - set(known.scalars())
