"""A ledger that was set back to an earlier state: what may have gone out since is held until somebody decides.

No policy and no planning frees what is held here; `webinar restored` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, case, func, select, text

from scheduler.database.engine import as_list, dialect, execute, listed
from scheduler.database.models import Delivery, Registration
from scheduler.ledger.outcomes import plan_again
from scheduler.ledger.planning import Governing
from scheduler.ledger.settling import UNSETTLED
from scheduler.ledger.statements import execute_named
from scheduler.ledger.states import Why
from scheduler.ledger.told import AttemptKey, Telling, accepted, plan_who_was_told_otherwise, tell
from scheduler.webinar.model import CANCELLATION, NOTICES, Webinar
from scheduler.webinar.told import Told

BEYOND = 10**9
"""So many numbers of deliveries are left out: more than can have been used since the state to which it was set back.
Logs and spools name deliveries by them, and none may ever mean another one."""
_D: Table = Delivery.__table__  # type: ignore[attr-defined]
HELD = f"{UNSETTLED} AND state = 'held' AND reason = '{Why.RESTORED}'"  # as a partial index says it


@dataclass(frozen=True)
class Identity:
    """Which ledger a database holds, and how often it was noticed that it had been set back."""

    name: str
    restorations: int
    hold_planned: bool
    """Whether what is due once everybody is planned is to be held, too: who registered since is not known yet."""


@dataclass(frozen=True)
class Held:
    """How many mails of one message are held, of how many use is not over, and when they were due (UTC)."""

    webinar: str
    message: str
    mails: int
    useful: int
    first_due: datetime
    last_due: datetime


def identity(conn: Connection) -> Identity:
    row = execute(conn, "SELECT identity, restorations, hold_planned FROM ledger").first()
    return Identity(row.identity, row.restorations, bool(row.hold_planned)) if row else Identity("", 0, False)


def holds_planned(conn: Connection) -> bool:
    """Whether what is planned now is to be held (`Identity.hold_planned`)."""
    return identity(conn).hold_planned


def hold(conn: Connection, now: datetime) -> int:
    """The database was set back: hold what may have gone out since, now and once everybody is planned. Returns how
    many are held now."""
    execute(conn, "UPDATE ledger SET restorations = restorations + 1, hold_planned = TRUE")
    dialect(conn).leave_out(conn, "delivery", BEYOND)
    return _hold_due(conn, now)


def hold_planned(conn: Connection, now: datetime) -> int:
    """Everybody is planned, also those whose registration was lost: hold what is due of theirs. Returns how many."""
    execute(conn, "UPDATE ledger SET hold_planned = FALSE WHERE hold_planned")
    return _hold_due(conn, now)


def _hold_due(conn: Connection, now: datetime) -> int:
    """All that was due by now, and every notice, whatever else it was held for."""
    held = execute_named(conn, "hold_restored", now=now).rowcount
    execute_named(conn, "doubt_restored", now=now)
    return held


def count(conn: Connection) -> int:
    """How many deliveries are held for this."""
    return int(execute(conn, f"SELECT count(*) FROM delivery WHERE {HELD}").scalar_one())


def held(conn: Connection, now: datetime) -> list[Held]:
    """What is held, by webinar and message, in the order in which it was due."""
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
    """The deliveries that are held, of all webinars or of one, and when each was planned (UTC)."""
    query = select(_D.c.id, _D.c.planned_at).where(text(HELD)).order_by(_D.c.id)
    if webinar is not None:
        query = query.where(_D.c.webinar == webinar)
    return {row.id: row.planned_at for row in conn.execute(query)}


def send(conn: Connection, now: datetime, ids: Collection[int]) -> int:
    """These did not go out: send them, as far as they are still useful. Returns how many."""
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
    """These went out, at that time where it is known. Returns how many are `sent` now.

    What each told its reader is what the ledger planned it for: who is to be notified of edits follows from it.
    """
    table = Registration.__table__  # type: ignore[attr-defined]
    rows = conn.execute(
        select(_D.c.id, _D.c.registration_id, _D.c.webinar, _D.c.message, _D.c.for_start, _D.c.for_end, _D.c.for_link,
               table.c.uid, table.c.join_url)
        .join_from(_D, table, _D.c.registration_id == table.c.id)
        .where(text(HELD), _D.c.id.in_(list(at)))
    ).all()  # fmt: skip
    tellings = [_telling(row, governing[row.webinar].webinar) for row in rows if row.webinar in governing]
    tell(conn, tellings)
    accepted(conn, [one.mail for one in tellings])
    for row in rows:
        execute(
            conn,
            "UPDATE delivery SET state = 'sent', reason = :why, sent_at = :at WHERE id = :id",
            why=why,
            at=at[row.id],
            id=row.id,
        )
    plan_who_was_told_otherwise(conn, [row.registration_id for row in rows])
    return len(rows)


_MAIL = "restored"  # for the token of mails whose attempts the ledger has lost


def _telling(row: Any, webinar: Webinar) -> Telling:
    notice = row.message in NOTICES
    invites = notice or any(one.id == row.message and one.invitation != "none" for one in webinar.messages)
    if row.message == CANCELLATION:
        told = Told(None, None, "", cancelled=True)
    else:
        link = row.for_link or row.join_url or webinar.join_url
        told = Told(row.for_start or webinar.start, row.for_end or webinar.end, link)
    return Telling(AttemptKey(row.uid, row.id, _MAIL), told, invites)


def unknown(conn: Connection, ids: Collection[int]) -> set[int]:
    """Of these numbers those of no delivery: they were planned after the state to which the database was set back."""
    known = execute(
        conn, f"SELECT id FROM delivery WHERE id IN {listed(conn, 'ids')}", ids=as_list(conn, ids)
    )
    return set(ids) - set(known.scalars())
