"""Refusals that are not about their recipients, and addresses that a relay does not know.

The words of a reply can mislead (`smtp.replies`). If recipients of several domains are refused with the same reply, and
no mail is accepted between them, the cause is the relay or its view of this sender, and none of them is given up. The
decision reads recorded attempts, so it covers all replicas and survives a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row

from scheduler.database.engine import as_list, dialect, execute, listed
from scheduler.input.addresses import fold
from scheduler.ledger.statements import execute_named
from scheduler.ledger.states import State

if TYPE_CHECKING:
    from scheduler.ledger.entries import Outcome

MOST_GIVEN_UP = 5
"""Recipients refused alike in a row up to which each of them is given up."""
AGAIN_AFTER = timedelta(minutes=5)
"""Delay before mails of spared recipients are tried again, so that due mails go first."""
MANY = 25
"""Recipients refused alike in a row beyond which the relay is paused in any case."""
_NEWEST = (100, 3000)  # newest attempts that are read: the larger number if none of the first was accepted
_STAGES = ("rcpt", "data", "content")

Kind = tuple[str, str, int, str]  # relay, stage, code, enhanced code


@dataclass(frozen=True)
class RefusalStreak:
    """Recipients that one relay refused alike in a row."""

    relay: str
    stage: str
    code: int
    enhanced: str
    recipients: int
    domains: int

    def __str__(self) -> str:
        reply = f"{self.stage}: {self.code} {self.enhanced}".strip()
        return (
            f"{reply} to {self.recipients} recipients of {self.domains} domains in a row, so the refusal is not about"
            " them: none of them is given up"
        )


def spare(conn: Connection, outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[RefusalStreak]]:
    """Return these outcomes, with failed changed to pending where the refusal is not about the recipient; and the
    streaks of such refusals that call for a pause. Mails that were given up earlier in a streak are tried again.

    Other services that record refusals wait until the end of the transaction. Registrations are locked before
    deliveries, as everywhere.
    """
    refused = [one for one in outcomes if _may_blame_recipient(one)]
    if not refused:
        return list(outcomes), []
    dialect(conn).wait_to_plan(conn, "a refusal")
    streaks = [one for one in _streaks_of(conn, outcomes, refused) if _too_many(one.attempts)]
    if not streaks:
        return list(outcomes), []
    ids = {row.delivery_id for streak in streaks for row in streak.attempts}
    now = max(one.at for one in refused)
    _retry(conn, now, now + AGAIN_AFTER, ids)
    kept = [
        replace(one, state=State.PENDING, reason="", again_at=max(one.again_at or now, now + AGAIN_AFTER))
        if one.state is State.FAILED and one.claimed.id in ids
        else one
        for one in outcomes
    ]
    return kept, [streak.described() for streak in streaks if _calls_for_a_pause(conn, streak)]


def _may_blame_recipient(one: Outcome) -> bool:
    """Whether this is a permanent refusal at RCPT or later that is not known to be a fault of the relay."""
    refusal = one.stage in _STAGES and one.code >= 500 and one.counts
    return refusal and one.state in (State.FAILED, State.PENDING)


@dataclass
class _Streak:
    """Attempts that a relay refused alike since it last accepted a mail (`accepted`: the id of that attempt)."""

    kind: Kind
    attempts: list[Row[Any]] = field(default_factory=list)
    accepted: int = 0

    def described(self) -> RefusalStreak:
        recipients = _recipients(self.attempts)
        return RefusalStreak(*self.kind, recipients=len(recipients), domains=len(_domains(recipients)))


def _streaks_of(conn: Connection, outcomes: Sequence[Outcome], refused: Iterable[Outcome]) -> list[_Streak]:
    """The streaks to which these refusals belong."""
    now = {(one.claimed.id, one.claimed.token): one for one in outcomes}
    wanted = {(one.claimed.id, one.claimed.token) for one in refused}
    streaks: dict[Kind, _Streak] = {}
    for newest in _NEWEST:
        streaks, complete = _streaks(_newest_attempts(conn, newest), now, wanted)
        if complete:
            break
    return list(streaks.values())


def _newest_attempts(conn: Connection, number: int) -> Sequence[Row[Any]]:
    return execute(
        conn,
        "SELECT id, delivery_id, lease_token, relay, address, outcome, stage, code, enhanced FROM attempt"
        " WHERE id > (SELECT coalesce(max(id), 0) FROM attempt) - :number ORDER BY id DESC",
        number=number,
    ).all()


def _streaks(
    attempts: Iterable[Row[Any]],
    now: Mapping[tuple[int, str], Outcome],
    wanted: set[tuple[int, str]],
) -> tuple[dict[Kind, _Streak], bool]:
    """The streaks of the wanted refusals among these attempts, the newest first; and whether they are complete: each
    relay's last accepted mail was found. `now`: outcomes that are not recorded yet."""
    streaks, kinds = dict[Kind, _Streak](), set[Kind]()
    left, accepted = set(wanted), dict[str, int]()
    for row in attempts:
        name = (row.delivery_id, row.lease_token)
        one = now.get(name)
        reply = (one.stage, one.code, one.enhanced) if one else (row.stage, row.code, row.enhanced)
        kind = (row.relay, *reply)
        if name in left:
            left.discard(name)
            kinds.add(kind)
        if (one.attempt if one else row.outcome) == "sent":
            accepted.setdefault(row.relay, row.id)
        elif row.relay not in accepted and row.address and reply[0] in _STAGES and reply[1] >= 500:
            streaks.setdefault(kind, _Streak(kind)).attempts.append(row)
    for streak in streaks.values():
        streak.accepted = accepted.get(streak.kind[0], 0)
    complete = not left and {kind[0] for kind in kinds} <= accepted.keys()
    return {kind: streaks[kind] for kind in kinds if kind in streaks}, complete


def _calls_for_a_pause(conn: Connection, streak: _Streak) -> bool:
    """Whether the relay must be paused. Mails that it refused in the same way before, and again after it accepted
    others, may be wrong themselves: they are tried again one by one, and do not count."""
    before = execute(
        conn,
        f"SELECT delivery_id FROM attempt WHERE delivery_id IN {listed(conn, 'ids')} AND id < :accepted"
        " AND relay = :relay AND stage = :stage AND code = :code AND enhanced = :enhanced",
        ids=as_list(conn, sorted({row.delivery_id for row in streak.attempts})),
        accepted=streak.accepted,
        **dict(zip(("relay", "stage", "code", "enhanced"), streak.kind, strict=True)),
    )
    known = set(before.scalars())
    new = [row for row in streak.attempts if row.delivery_id not in known]
    return _too_many(new) or len(_recipients(streak.attempts)) > MANY


def _recipients(rows: Iterable[Row[Any]]) -> set[str]:
    return {fold(row.address) for row in rows}


def _domains(recipients: Iterable[str]) -> set[str]:
    return {address.rpartition("@")[2] for address in recipients}


def _too_many(rows: Iterable[Row[Any]]) -> bool:
    recipients = _recipients(rows)
    return len(recipients) > MOST_GIVEN_UP and len(_domains(recipients)) > 1


def _retry(conn: Connection, now: datetime, again_at: datetime, ids: Iterable[int]) -> list[int]:
    """Set failed deliveries to pending again, where still useful. Returns their ids. Their people are planned again,
    with the deliveries that were skipped for the same reason."""
    given_up = as_list(conn, sorted(ids))
    people = f"SELECT registration_id FROM delivery WHERE id IN {listed(conn, 'ids')} AND registration_id > 0"
    execute(conn, f"UPDATE registration SET plan = 0 WHERE id IN ({people})", ids=given_up)
    return list(execute_named(conn, "try_refused_again", ids=given_up, now=now, again_at=again_at).scalars())


def retry_address(conn: Connection, now: datetime, address: str) -> tuple[int, int]:
    """Accept an operator's word that an address refused as unknown is right: failed mails to it are tried again and
    skipped ones planned again, where still useful. Returns the number of its registrations that were refused, and of
    mails that are tried at once."""
    ids = execute(conn, "SELECT id FROM registration WHERE address_folded = :folded", folded=fold(address))
    people = as_list(conn, sorted(ids.scalars()))
    refused = execute_named(conn, "refused_as_unknown", ids=people).all()
    again = _retry(conn, now, now, {row.id for row in refused})
    mark_corrected(conn, people)
    return len({row.registration_id for row in refused}), len(again)


def mark_corrected(conn: Connection, people: object) -> None:
    """Mark the addresses of these registrations (ids by `as_list`) as corrected, or confirmed to be right: earlier
    refusals no longer keep mails back."""
    execute_named(conn, "counts_as_corrected", ids=people)
