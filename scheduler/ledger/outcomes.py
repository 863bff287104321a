"""What is about to go on the wire, and what became of it: durable before and after, many at a time.

`begin` sets `sending` before a byte of a mail's content may go out; `conclude` records the outcome. Both change
all their deliveries in one statement each, because they stand between every mail and the next.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from scheduler.database.dialect import Dialect
from scheduler.database.engine import as_list, dialect, execute, listed
from scheduler.database.models import Invitation as InvitationRow
from scheduler.ledger.claims import release
from scheduler.ledger.entries import Lease, Outcome, Start, Version
from scheduler.ledger.refusals import InARow, hold_back
from scheduler.ledger.statements import execute_named
from scheduler.ledger.states import State
from scheduler.ledger.told import AttemptKey, Telling, accepted, plan_who_was_told_otherwise, refused, tell
from scheduler.webinar.model import NOTICES


def last_versions(conn: Connection, uids: Sequence[str]) -> dict[str, Version]:
    """The newest version of each of these invitations."""
    table = InvitationRow.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table).where(table.c.uid.in_(uids)).order_by(table.c.sequence))
    return {
        row.uid: Version(
            row.uid, row.sequence, row.method, row.dtstamp, row.says, row.calendar, True, row.registration_id
        )
        for row in rows
    }


def begin(conn: Connection, starts: Sequence[Start]) -> set[int]:
    """Set `sending` before the content of these mails may go out. Returns the ids that are ours to send.

    A mail whose lease is lost, or that was rendered by another revision or planned by another plan than govern now,
    is not ours. Idempotent: the recorder repeats a transaction whose commit it could not confirm.
    """
    engine = dialect(conn)
    if starts:
        starts = _not_being_planned(conn, starts, engine)
    if outdated := _store_versions(conn, starts):
        release(conn, [start.claimed for start in outdated])  # to be rendered again
        starts = [start for start in starts if start not in outdated]
    if not starts:
        return set()
    values = _in_rows(starts, engine)
    begun = execute_named(conn, "begin", starts=values, now=max(start.at for start in starts))
    ids = set(begun.scalars())
    if len(ids) < len(starts):
        release(conn, [start.claimed for start in starts if start.claimed.id not in ids])
        starts = [start for start in starts if start.claimed.id in ids]
        values = _in_rows(starts, engine)
    if ids:
        execute_named(conn, "note_attempts", starts=values)
        tell(conn, [_telling(start) for start in starts])
    return ids


def _not_being_planned(conn: Connection, starts: Sequence[Start], engine: Dialect) -> list[Start]:
    """Those whose person is there, who may have been forgotten since, and is not being planned by another transaction:
    it would not see what this mail tells. The others are released. Planning waits for us, and we never for it."""
    ids = as_list(conn, {start.claimed.registration_id for start in starts})
    query = f"SELECT id FROM registration WHERE id IN {listed(conn, 'ids')} {engine.share_skipping}"
    free = set(execute(conn, query, ids=ids).scalars())
    if len(free) < len(starts):
        release(conn, [start.claimed for start in starts if start.claimed.registration_id not in free])
    return [start for start in starts if start.claimed.registration_id in free]


def _telling(start: Start) -> Telling:
    counts = start.invitation is not None or start.claimed.message in NOTICES
    return Telling(_mail(start.claimed), start.told, counts)


def _mail(claimed: Lease) -> AttemptKey:
    return AttemptKey(claimed.uid, claimed.id, claimed.token)


def _in_rows(starts: Sequence[Start], engine: Dialect) -> str:
    return json.dumps([_start_cells(start, engine) for start in starts])


def _start_cells(start: Start, engine: Dialect) -> tuple[object, ...]:
    one = start.claimed
    at = engine.written(start.at)
    return (
        one.id,
        one.token,
        start.message_id,
        start.relay,
        one.address,
        start.language,
        start.text_revision,
        at,
        one.revision_id,
    )


def _outdated(conn: Connection, new: Sequence[tuple[Start, Version]]) -> list[Start]:
    """Those for which another mail to the same person has stored, or is about to store, another version."""
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


def conclude(conn: Connection, outcomes: Sequence[Outcome]) -> list[InARow]:
    """Record outcomes. That of a lost lease is recorded as an attempt, not as the state; and the attempt stays in
    doubt, with the relay's late words: by then another service may have sent the mail again. Returns refusals that are
    not about their recipients, for which nobody is given up."""
    if not outcomes:
        return []
    engine = dialect(conn)
    outcomes, in_a_row = hold_back(conn, outcomes)
    _note_told(conn, outcomes)
    values = json.dumps([_cells(outcome, engine) for outcome in outcomes])
    execute_named(conn, "conclude_deliveries", outcomes=values)
    execute_named(conn, "conclude_attempts", outcomes=values)
    return in_a_row


def _note_told(conn: Connection, outcomes: Sequence[Outcome]) -> None:
    """Registrations come before deliveries, as in planning: whoever locks both does so in one order."""
    took = [_mail(one.claimed) for one in outcomes if one.state is State.SENT]
    if took:
        accepted(conn, took)
    if left := [_mail(one.claimed) for one in outcomes if one.state not in (State.SENT, State.IN_DOUBT)]:
        refused(conn, left)
    plan_again(
        conn, [one.claimed.registration_id for one in outcomes if one.state in (State.PENDING, State.FAILED)]
    )
    plan_who_was_told_otherwise(conn, [one.claimed.registration_id for one in outcomes])


def _cells(outcome: Outcome, engine: Dialect) -> tuple[object, ...]:
    at = engine.written(outcome.at)
    return (
        outcome.claimed.id, outcome.claimed.token, outcome.state, outcome.reason, int(outcome.counts),
        engine.written(outcome.again_at) if outcome.again_at else None, at if outcome.state is State.SENT else None,
        outcome.attempt, at, outcome.stage, outcome.code, outcome.enhanced, outcome.reply,
    )  # fmt: skip


def plan_again(conn: Connection, registration_ids: Iterable[int]) -> None:
    """What comes back from the relay was not planned while it was there: its row may be deleted by now, its address
    suppressed, its webinar cancelled. Nor does anything follow a mail by which the address turned out to be
    unknown."""
    if ids := sorted(set(registration_ids)):
        execute(conn, "UPDATE registration SET plan = 0 WHERE id IN :ids", ids=ids)
