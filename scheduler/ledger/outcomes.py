"""Starts and outcomes of attempts, recorded in batches.

`begin` sets `sending` before a byte of a mail's content may go out; `conclude` records the outcome. Each updates all
its deliveries in one statement, since every mail waits for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from scheduler.database.dialect import Dialect
from scheduler.database.engine import as_list, dialect, execute, listed
from scheduler.database.models import Invitation as InvitationRow
from scheduler.database.models import table
from scheduler.ledger.claims import release
from scheduler.ledger.entries import AttemptKey, Lease, Outcome, Start, ToldEntry, Version
from scheduler.ledger.refusals import RefusalStreak, spare
from scheduler.ledger.statements import execute_named
from scheduler.ledger.states import State
from scheduler.ledger.told import accept_told, record_told, refuse_told, replan_misinformed
from scheduler.webinar.model import NOTICES


def last_versions(conn: Connection, uids: Sequence[str]) -> dict[str, Version]:
    """The newest version of each of these invitations."""
    columns = table(InvitationRow).c
    rows = conn.execute(select(*columns).where(columns.uid.in_(uids)).order_by(columns.sequence))
    return {
        row.uid: Version(
            row.uid, row.sequence, row.method, row.dtstamp, row.says, row.calendar, True, row.registration_id
        )
        for row in rows
    }


def begin(conn: Connection, starts: Sequence[Start]) -> set[int]:
    """Set `sending` before the content of these mails may go out. Returns the ids of the deliveries to send.

    Left out are mails whose lease is lost, and mails rendered from another revision or planned by another plan than
    those that govern now. Idempotent: the recorder repeats a transaction whose commit it could not confirm.
    """
    engine = dialect(conn)
    if starts:
        starts = _not_being_planned(conn, starts, engine)
    if outdated := _store_versions(conn, starts):
        release(conn, [start.claimed for start in outdated])  # to be rendered again
        starts = [start for start in starts if start not in outdated]
    if not starts:
        return set()
    values = _as_json(starts, engine)
    begun = execute_named(conn, "begin", starts=values, now=max(start.at for start in starts))
    ids = set(begun.scalars())
    if len(ids) < len(starts):
        release(conn, [start.claimed for start in starts if start.claimed.id not in ids])
        starts = [start for start in starts if start.claimed.id in ids]
        values = _as_json(starts, engine)
    if ids:
        execute_named(conn, "note_attempts", starts=values)
        record_told(conn, [_told_entry(start) for start in starts])
    return ids


def _not_being_planned(conn: Connection, starts: Sequence[Start], engine: Dialect) -> list[Start]:
    """Return the starts whose registration still exists and is not being planned by another transaction, which would
    not see what the mail tells; release the others. Planning waits for this transaction, never the reverse."""
    ids = as_list(conn, {start.claimed.registration_id for start in starts})
    query = f"SELECT id FROM registration WHERE id IN {listed(conn, 'ids')} {engine.share_skipping}"
    free = set(execute(conn, query, ids=ids).scalars())
    if len(free) < len(starts):
        release(conn, [start.claimed for start in starts if start.claimed.registration_id not in free])
    return [start for start in starts if start.claimed.registration_id in free]


def _told_entry(start: Start) -> ToldEntry:
    counts = start.invitation is not None or start.claimed.message in NOTICES
    return ToldEntry(_attempt_key(start.claimed), start.told, counts)


def _attempt_key(claimed: Lease) -> AttemptKey:
    return AttemptKey(claimed.uid, claimed.id, claimed.token)


def _as_json(starts: Sequence[Start], engine: Dialect) -> str:
    return json.dumps([_start_cells(start, engine) for start in starts])


def _start_cells(start: Start, engine: Dialect) -> tuple[object, ...]:
    claimed = start.claimed
    return (
        claimed.id, claimed.token, start.message_id, start.relay, claimed.address, start.language,
        start.text_revision, engine.written(start.at), claimed.revision_id,
    )  # fmt: skip


def _outdated(conn: Connection, new: Sequence[tuple[Start, Version]]) -> list[Start]:
    """The starts for whose SEQUENCE another mail to the same person stored, or is about to store, another version."""
    stored = execute(
        conn,
        "SELECT uid, sequence, calendar FROM invitation WHERE uid IN :uids",
        uids={version.uid for _, version in new},
    )
    known: dict[tuple[str, int], bytes] = {}
    newest: dict[str, int] = {}
    for row in stored:
        known[row.uid, row.sequence] = row.calendar
        newest[row.uid] = max(row.sequence, newest.get(row.uid, 0))
    outdated = []
    for start, version in new:
        calendar = known.setdefault((version.uid, version.sequence), version.calendar)
        if (
            newest.setdefault(version.uid, version.sequence) > version.sequence
            or calendar != version.calendar
        ):
            outdated.append(start)
    return outdated


def _store_versions(conn: Connection, starts: Sequence[Start]) -> list[Start]:
    """Store the new versions of invitations. Returns the starts that lost the race for the next SEQUENCE: another
    mail to the same person stored a different version under it. They must be rendered again."""
    engine = dialect(conn)
    new = [(start, start.invitation) for start in starts if start.invitation and not start.invitation.stored]
    if not new:
        return []
    values = [
        (
            start.claimed.registration_id, version.uid, version.sequence, version.method,
            engine.written(version.dtstamp), version.says, version.calendar.decode(),
        )
        for start, version in new
    ]  # fmt: skip
    stored = execute_named(conn, "store_versions", versions=json.dumps(values))
    return _outdated(conn, new) if stored.rowcount < len(new) else []


def conclude(conn: Connection, outcomes: Sequence[Outcome]) -> list[RefusalStreak]:
    """Record outcomes. If the lease was lost, only the attempt is updated: it stays in doubt, with the relay's late
    reply, since another service may have sent the mail again by then. Returns the refusals that are not about their
    recipients, who are not given up for them."""
    if not outcomes:
        return []
    engine = dialect(conn)
    outcomes, streaks = spare(conn, outcomes)
    _conclude_told(conn, outcomes)
    values = json.dumps([_cells(outcome, engine) for outcome in outcomes])
    execute_named(conn, "conclude_deliveries", outcomes=values)
    execute_named(conn, "conclude_attempts", outcomes=values)
    return streaks


def _conclude_told(conn: Connection, outcomes: Sequence[Outcome]) -> None:
    """Update `told`, and have people planned again. Registrations are locked before deliveries, as in planning."""
    if accepted := [_attempt_key(one.claimed) for one in outcomes if one.state is State.SENT]:
        accept_told(conn, accepted)
    if refused := [
        _attempt_key(one.claimed) for one in outcomes if one.state not in (State.SENT, State.IN_DOUBT)
    ]:
        refuse_told(conn, refused)
    plan_again(
        conn, [one.claimed.registration_id for one in outcomes if one.state in (State.PENDING, State.FAILED)]
    )
    replan_misinformed(conn, [one.claimed.registration_id for one in outcomes])


def _cells(outcome: Outcome, engine: Dialect) -> tuple[object, ...]:
    at = engine.written(outcome.at)
    return (
        outcome.claimed.id, outcome.claimed.token, outcome.state, outcome.reason, int(outcome.counts),
        engine.written(outcome.again_at) if outcome.again_at else None, at if outcome.state is State.SENT else None,
        outcome.attempt, at, outcome.stage, outcome.code, outcome.enhanced, outcome.reply,
    )  # fmt: skip


def plan_again(conn: Connection, registration_ids: Iterable[int]) -> None:
    """Have these people planned again. Planning skips a delivery while it is being sent: its row may have been deleted
    since, its address suppressed or found to be unknown, its webinar cancelled."""
    if ids := sorted(set(registration_ids)):
        execute(conn, "UPDATE registration SET plan = 0 WHERE id IN :ids", ids=ids)
