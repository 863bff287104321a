"""Refusals that are not about their recipients, and addresses that no relay knows.

The words of a reply may mislead (`delivery.replies`). So where recipients of several domains are refused alike, one
after the other, and nobody is accepted between them, none of them is given up: the relay, or what we are to it, is the
cause. It is judged by the attempts on record, so it holds for all replicas together and after a restart.
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
"""So many recipients in a row may be refused alike before it is doubted that they are to blame."""
AGAIN_AFTER = timedelta(minutes=5)
"""When mails that were to be given up are tried again: after those that are due."""
MANY = 25
"""So many call for a pause, whoever they are."""
_NEWEST = (100, 3000)  # attempts that are looked at: where nobody was accepted among the first, the latter
_STAGES = ("rcpt", "data", "content")

Kind = tuple[str, str, int, str]  # relay, stage, code, enhanced code


@dataclass(frozen=True)
class InARow:
    """Recipients that one relay refused alike, one after the other."""

    relay: str
    stage: str
    code: int
    enhanced: str
    recipients: int
    domains: int

    def __str__(self) -> str:
        reply = f"{self.stage}: {self.code} {self.enhanced}".strip()
        return (
            f"{reply} to {self.recipients} recipients of {self.domains} domains in a row, so it is not about them:"
            " none of them is given up"
        )


def hold_back(conn: Connection, outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[InARow]]:
    """These outcomes, less what would give somebody up for a refusal that is not about them; and such refusals, where
    they call for a pause. Who was given up for them before is tried again.

    Other services wait until the end of the transaction where they record refusals, too. What is changed here of
    registrations comes before anything of deliveries, as everywhere.
    """
    refused = [one for one in outcomes if _may_blame_recipient(one)]
    if not refused:
        return list(outcomes), []
    dialect(conn).wait_to_plan(conn, "a refusal")
    found = [one for one in _since_accepted(conn, outcomes, refused) if _too_many(one.attempts)]
    if not found:
        return list(outcomes), []
    ids = {row.delivery_id for one in found for row in one.attempts}
    now = max(one.at for one in refused)
    _try_again(conn, now, now + AGAIN_AFTER, ids)
    kept = [
        replace(one, state=State.PENDING, reason="", again_at=max(one.again_at or now, now + AGAIN_AFTER))
        if one.state is State.FAILED and one.claimed.id in ids
        else one
        for one in outcomes
    ]
    return kept, [one.described() for one in found if _calls_for_a_pause(conn, one)]


def _may_blame_recipient(one: Outcome) -> bool:
    """Refused for good, once a recipient was named, and not known to be the relay's trouble."""
    refusal = one.stage in _STAGES and one.code >= 500 and one.counts
    return refusal and one.state in (State.FAILED, State.PENDING)


@dataclass
class _Run:
    """Attempts that a relay refused alike since it last accepted a mail (`accepted`: the number of that attempt)."""

    kind: Kind
    attempts: list[Row[Any]] = field(default_factory=list)
    accepted: int = 0

    def described(self) -> InARow:
        recipients = _recipients(self.attempts)
        return InARow(*self.kind, recipients=len(recipients), domains=len(_domains(recipients)))


def _since_accepted(conn: Connection, outcomes: Sequence[Outcome], refused: Iterable[Outcome]) -> list[_Run]:
    """What was refused as these were, with them."""
    now = {(one.claimed.id, one.claimed.token): one for one in outcomes}
    wanted = {(one.claimed.id, one.claimed.token) for one in refused}
    runs: dict[Kind, _Run] = {}
    for newest in _NEWEST:
        runs, whole = _runs(_newest_attempts(conn, newest), now, wanted)
        if whole:
            break
    return list(runs.values())


def _newest_attempts(conn: Connection, number: int) -> Sequence[Row[Any]]:
    return execute(
        conn,
        "SELECT id, delivery_id, lease_token, relay, address, outcome, stage, code, enhanced FROM attempt"
        " WHERE id > (SELECT coalesce(max(id), 0) FROM attempt) - :number ORDER BY id DESC",
        number=number,
    ).all()


def _runs(
    attempts: Iterable[Row[Any]],
    now: Mapping[tuple[int, str], Outcome],
    wanted: set[tuple[int, str]],
) -> tuple[dict[Kind, _Run], bool]:
    """Of attempts, the newest first, those that were refused as the wanted ones are since their relay accepted any; and
    whether there can't be more of them. `now`: outcomes that are not on record yet."""
    runs, kinds = dict[Kind, _Run](), set[Kind]()
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
            runs.setdefault(kind, _Run(kind)).attempts.append(row)
    for found in runs.values():
        found.accepted = accepted.get(found.kind[0], 0)
    whole = not left and {kind[0] for kind in kinds} <= accepted.keys()
    return {kind: runs[kind] for kind in kinds if kind in runs}, whole


def _calls_for_a_pause(conn: Connection, found: _Run) -> bool:
    """Not for mails alone that were refused so before, and again though the relay accepted others since: those may be
    wrong indeed, and are tried again one by one."""
    before = execute(
        conn,
        f"SELECT delivery_id FROM attempt WHERE delivery_id IN {listed(conn, 'ids')} AND id < :accepted"
        " AND relay = :relay AND stage = :stage AND code = :code AND enhanced = :enhanced",
        ids=as_list(conn, sorted({row.delivery_id for row in found.attempts})),
        accepted=found.accepted,
        **dict(zip(("relay", "stage", "code", "enhanced"), found.kind, strict=True)),
    )
    known = set(before.scalars())
    new = [row for row in found.attempts if row.delivery_id not in known]
    return _too_many(new) or len(_recipients(found.attempts)) > MANY


def _recipients(rows: Iterable[Row[Any]]) -> set[str]:
    return {fold(row.address) for row in rows}


def _domains(recipients: Iterable[str]) -> set[str]:
    return {address.rpartition("@")[2] for address in recipients}


def _too_many(rows: Iterable[Row[Any]]) -> bool:
    recipients = _recipients(rows)
    return len(recipients) > MOST_GIVEN_UP and len(_domains(recipients)) > 1


def _try_again(conn: Connection, now: datetime, again_at: datetime, ids: Iterable[int]) -> list[int]:
    """What was given up of these deliveries, where it is still useful. Returns which. Their people are planned again,
    with what was skipped for the same reason."""
    given_up = as_list(conn, sorted(ids))
    people = f"SELECT registration_id FROM delivery WHERE id IN {listed(conn, 'ids')} AND registration_id > 0"
    execute(conn, f"UPDATE registration SET plan = 0 WHERE id IN ({people})", ids=given_up)
    return list(execute_named(conn, "try_refused_again", ids=given_up, now=now, again_at=again_at).scalars())


def try_address_again(conn: Connection, now: datetime, address: str) -> tuple[int, int]:
    """Somebody says that this address, which a relay refused as unknown, is right: what it was given up for is tried
    again, and what was skipped is planned again, where it is still useful. Returns how many registrations the address
    has that were refused so, and how many mails are tried at once."""
    ids = execute(conn, "SELECT id FROM registration WHERE address_folded = :folded", folded=fold(address))
    people = as_list(conn, sorted(ids.scalars()))
    refused = execute_named(conn, "refused_as_unknown", ids=people).all()
    again = _try_again(conn, now, now, {row.id for row in refused})
    counts_as_corrected(conn, people)
    return len({row.registration_id for row in refused}), len(again)


def counts_as_corrected(conn: Connection, people: object) -> None:
    """The addresses of these registrations (`as_list`) were corrected, or said to be right: what was refused before
    keeps no mail back any more."""
    execute_named(conn, "counts_as_corrected", ids=people)
