"""From pending to an outcome: leases with fencing tokens, and what a kill or a broken connection leaves.

`claim` leases pending deliveries. `begin` sets `sending` durably before a byte of the mail may go out.
`conclude` records the outcome. A lease that lapsed while sending leaves the delivery in doubt. Whoever plans
a delivery anew takes its lease away, so `begin` fails for content that is stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert, select, text

from scheduler.database.engine import lease_clock, one_planner, run, skip_locked
from scheduler.database.models import Attempt, Delivery, Registration
from scheduler.database.models import Invitation as InvitationRow
from scheduler.ledger.states import State, Why
from scheduler.webinar import Webinar

_UNSETTLED = "state IN ('sending', 'in_doubt', 'held')"  # as its partial index says it
LEASE_SECONDS = 120.0  # renewed while a mail is on the wire; replicas' clocks may be off by a few seconds


@dataclass(frozen=True)
class Claimed:
    """One leased delivery with everything about its registrant that a mail needs."""

    id: int
    token: str
    registration_id: int
    webinar: str
    message: str
    attempts: int
    message_id: str
    due_at: datetime
    expires_at: datetime
    address: str
    name: str
    language: str
    zone: str
    zone_known_by: str
    join_url: str
    uid: str
    first_seen_at: datetime


@dataclass(frozen=True)
class Version:
    """A version of an invitation: what `begin` stores the first time that it may go out."""

    uid: str
    sequence: int
    method: str
    dtstamp: datetime
    says: str
    calendar: bytes
    stored: bool = False


@dataclass(frozen=True)
class Start:
    """A delivery about to go on the wire."""

    claimed: Claimed
    message_id: str
    relay: str
    language: str
    text_revision: int
    at: datetime
    invitation: Version | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a delivery. `state` pending means: again at `again_at`."""

    claimed: Claimed
    state: Literal[State.SENT, State.PENDING, State.FAILED, State.HELD, State.IN_DOUBT]
    at: datetime
    attempt: str  # the word for the attempt: sent, deferred, refused, in_doubt, not_sent
    reason: str = ""
    again_at: datetime | None = None
    counts: bool = True  # False: the relay's trouble, which costs the mail no attempt
    stage: str = ""
    code: int = 0
    enhanced: str = ""
    reply: str = ""


def expire(conn: Connection, now: datetime) -> int:
    """What nobody sent while it was of use is expired, on record. Returns how many."""
    return run(
        conn,
        "UPDATE delivery SET state = 'expired', reason = CASE WHEN state = 'held' THEN :held || reason ELSE :late END,"
        " lease_token = NULL WHERE state IN ('pending', 'held') AND expires_at <= :now",
        now=now,
        late=Why.NO_LONGER_OF_USE,
        held=f"{Why.NO_LONGER_OF_USE}; was held: ",
    ).rowcount


def recover(conn: Connection, now: datetime) -> int:
    """Deliveries whose sender lost its lease while sending are in doubt. Returns how many."""
    lapsed = list(
        run(
            conn,
            "UPDATE delivery SET state = 'in_doubt', reason = 'its sender stopped while sending', lease_token = NULL"
            f" WHERE {_UNSETTLED} AND state = 'sending' AND lease_until < :clock RETURNING id",
            clock=lease_clock(conn),
        ).scalars()
    )
    if lapsed:
        run(
            conn,
            "UPDATE attempt SET outcome = 'in_doubt', ended_at = :now"
            " WHERE delivery_id IN :ids AND outcome = ''",
            ids=lapsed,
            now=now,
        )
    return len(lapsed)


def end_all_leases(conn: Connection) -> None:
    """At the start of the only process there is: whoever held a lease is gone."""
    run(conn, "UPDATE delivery SET lease_until = -1 WHERE lease_token IS NOT NULL")


def settle_doubt(conn: Connection, now: datetime, webinars: Mapping[str, Webinar]) -> None:
    """The organizer's policy moves what is in doubt: sent once more while it is of use, or held for a person."""
    for policy, state, reason in (("resend", State.PENDING, ""), ("hold", State.HELD, Why.DOUBT)):
        if names := [name for name, webinar in webinars.items() if webinar.on_doubt == policy]:
            settled = run(
                conn,
                "UPDATE delivery SET state = :state, reason = :reason"
                f" WHERE {_UNSETTLED} AND state = 'in_doubt' AND expires_at > :now AND webinar IN :names"
                " RETURNING registration_id",
                state=state,
                reason=reason,
                now=now,
                names=names,
            )
            _plan_anew(conn, settled.scalars())


def _plan_anew(conn: Connection, registration_ids: Iterable[int]) -> None:
    """What comes back from the relay was not planned while it was there: its row may be deleted by now, its
    address suppressed, its webinar called off."""
    if ids := sorted(set(registration_ids)):
        run(conn, "UPDATE registration SET replan = TRUE WHERE id IN :ids", ids=ids)


def claim(conn: Connection, now: datetime, token: str, live: Sequence[str], limit: int) -> list[Claimed]:
    """Lease up to `limit` due deliveries of these webinars, what is due on registration first."""
    clock = lease_clock(conn)
    ids: list[int] = []
    for urgency in (0, 1):
        for webinar in live:
            if len(ids) < limit:
                ids += run(
                    conn,
                    "SELECT id FROM delivery WHERE state = 'pending' AND webinar = :webinar"
                    " AND urgency = :urgency AND next_attempt_at <= :now AND expires_at > :now"
                    " AND (lease_token IS NULL OR lease_until < :clock)"
                    f" ORDER BY next_attempt_at LIMIT :limit {skip_locked(conn)}",
                    webinar=webinar,
                    urgency=urgency,
                    now=now,
                    clock=clock,
                    limit=limit - len(ids),
                ).scalars()
    if not ids:
        return []
    run(
        conn,
        "UPDATE delivery SET lease_token = :token, lease_until = :until WHERE id IN :ids",
        token=token,
        until=clock + LEASE_SECONDS,
        ids=ids,
    )
    return _claimed(conn, ids, token)


def _claimed(conn: Connection, ids: Sequence[int], token: str) -> list[Claimed]:
    d, r = Delivery.__table__, Registration.__table__  # type: ignore[attr-defined]
    rows = conn.execute(
        select(
            d.c.id, d.c.registration_id, d.c.webinar, d.c.message, d.c.attempts, d.c.message_id,
            d.c.due_at, d.c.expires_at, r.c.address, r.c.name, r.c.language, r.c.zone, r.c.zone_known_by,
            r.c.join_url, r.c.uid, r.c.first_seen_at,
        )
        .join_from(d, r, d.c.registration_id == r.c.id)
        .where(d.c.id.in_(ids))
        .order_by(d.c.urgency, d.c.next_attempt_at)
    )  # fmt: skip
    return [Claimed(token=token, **row) for row in rows.mappings()]


def last_versions(conn: Connection, uids: Sequence[str]) -> dict[str, Version]:
    """The newest version of each of these invitations."""
    table = InvitationRow.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table).where(table.c.uid.in_(uids)).order_by(table.c.sequence))
    return {
        row.uid: Version(row.uid, row.sequence, row.method, row.dtstamp, row.says, row.calendar, stored=True)
        for row in rows
    }


def begin(conn: Connection, starts: Iterable[Start]) -> set[int]:
    """Set `sending` before the bytes of these mails may go out. Returns the ids that are still ours to send."""
    clock = lease_clock(conn)
    begun = set()
    for start in starts:
        claimed = start.claimed
        if _version_is_taken(conn, start.invitation):
            release(conn, [claimed])
            continue
        ours = run(
            conn,
            "UPDATE delivery SET state = 'sending', message_id = :message_id, lease_until = :until"
            " WHERE id = :id AND state = 'pending' AND lease_token = :token AND expires_at > :now",
            id=claimed.id,
            token=claimed.token,
            message_id=start.message_id,
            until=clock + LEASE_SECONDS,
            now=start.at,
        ).rowcount
        if not ours:
            continue
        begun.add(claimed.id)
        _store_attempt(conn, start)
        if start.invitation and not start.invitation.stored:
            _store_version(conn, claimed.registration_id, start.invitation)
    return begun


def _version_is_taken(conn: Connection, version: Version | None) -> bool:
    """Another mail to the same person has stored this version since: this one must be rendered with it."""
    if version is None or version.stored:
        return False
    query = "SELECT 1 FROM invitation WHERE uid = :uid AND sequence >= :sequence"
    return run(conn, query, uid=version.uid, sequence=version.sequence).first() is not None


def _store_attempt(conn: Connection, start: Start) -> None:
    conn.execute(
        insert(Attempt.__table__),  # type: ignore[attr-defined]
        {
            "delivery_id": start.claimed.id,
            "lease_token": start.claimed.token,
            "relay": start.relay,
            "address": start.claimed.address,
            "language": start.language,
            "text_revision": start.text_revision,
            "started_at": start.at,
            "code": 0,
        },
    )


def _store_version(conn: Connection, registration_id: int, version: Version) -> None:
    conn.execute(
        insert(InvitationRow.__table__),  # type: ignore[attr-defined]
        {
            "registration_id": registration_id,
            "uid": version.uid,
            "sequence": version.sequence,
            "method": version.method,
            "dtstamp": version.dtstamp,
            "says": version.says,
            "calendar": version.calendar,
        },
    )


def conclude(conn: Connection, outcomes: Iterable[Outcome]) -> None:
    """Record outcomes. That of a lost lease is recorded as an attempt, not as the state."""
    outcomes = list(outcomes)
    if any(outcome.state is State.PENDING for outcome in outcomes):
        one_planner(conn)  # or planning that is under way would take our flag with its own
    for outcome in outcomes:
        claimed = outcome.claimed
        ours = run(
            conn,
            "UPDATE delivery SET state = :state, reason = :reason, attempts = attempts + :counts,"
            " next_attempt_at = coalesce(:again_at, next_attempt_at), lease_token = NULL,"
            " sent_at = coalesce(:sent_at, sent_at)"
            " WHERE id = :id AND lease_token = :token AND state IN ('pending', 'sending')",
            id=claimed.id,
            token=claimed.token,
            state=outcome.state,
            reason=outcome.reason,
            counts=int(outcome.counts),
            again_at=outcome.again_at,
            sent_at=outcome.at if outcome.state is State.SENT else None,
        ).rowcount
        if ours and outcome.state is State.PENDING:
            _plan_anew(conn, [claimed.registration_id])
        run(
            conn,
            "UPDATE attempt SET outcome = :outcome, ended_at = :at, stage = :stage, code = :code,"
            " enhanced = :enhanced, reply = :reply"
            " WHERE delivery_id = :id AND lease_token = :token AND outcome IN ('', 'in_doubt')",
            id=claimed.id,
            token=claimed.token,
            outcome=outcome.attempt,
            at=outcome.at,
            stage=outcome.stage,
            code=outcome.code,
            enhanced=outcome.enhanced,
            reply=outcome.reply,
        )


def renew(conn: Connection, tokens: Iterable[str]) -> None:
    """Push the end of these leases out, while their mails are on the wire."""
    run(
        conn,
        "UPDATE delivery SET lease_until = :until WHERE lease_token IN :tokens",
        until=lease_clock(conn) + LEASE_SECONDS,
        tokens=list(tokens),
    )


def release(conn: Connection, claimed: Iterable[Claimed]) -> None:
    """Give leases back unused."""
    for one in claimed:
        run(
            conn,
            "UPDATE delivery SET lease_token = NULL WHERE id = :id AND lease_token = :token AND state = 'pending'",
            id=one.id,
            token=one.token,
        )


def abandon(conn: Connection, now: datetime, tokens: Iterable[str]) -> None:
    """At the end of this process: what was still on the wire is in doubt, what was not is pending again."""
    run(conn, "UPDATE delivery SET lease_until = -1 WHERE lease_token IN :tokens", tokens=list(tokens))
    recover(conn, now)
    run(
        conn,
        "UPDATE delivery SET lease_token = NULL WHERE lease_token IN :tokens AND state = 'pending'",
        tokens=list(tokens),
    )


def free_held(conn: Connection, now: datetime, messages: Iterable[str]) -> int:
    """What was held for want of a sound text of these messages is pending again, if still of use."""
    if not (messages := list(messages)):  # PostgreSQL would ask of what type nothing is
        return 0
    return run(
        conn,
        "UPDATE delivery SET state = 'pending', reason = '' WHERE state = 'held'"
        " AND reason IN (:template, :data) AND message IN :messages AND expires_at > :now",
        now=now,
        template=Why.TEMPLATE,
        data=Why.DATA,
        messages=messages,
    ).rowcount


def free_held_by_config(conn: Connection, now: datetime) -> int:
    """At a start, whose settings may be others than before: what they held is tried again."""
    return run(
        conn,
        "UPDATE delivery SET state = 'pending', reason = '' WHERE state = 'held' AND reason = :config"
        " AND expires_at > :now",
        now=now,
        config=Why.CONFIG,
    ).rowcount


def next_wake(conn: Connection, live: Iterable[str]) -> datetime | None:
    """The next instant at which a delivery is due or expires: None when the ledger waits for nothing."""
    table = Delivery.__table__  # type: ignore[attr-defined]
    # The states as the partial indexes name them: SQLite does not look into a parameter.
    queries = [
        select(table.c.next_attempt_at)
        .where(text("state = 'pending'"), table.c.webinar == webinar, table.c.urgency == urgency)
        .where(table.c.lease_token.is_(None))
        .order_by(table.c.next_attempt_at)
        .limit(1)
        for webinar in live
        for urgency in (0, 1)
    ]
    expiring = text("state IN ('pending', 'held')")
    queries.append(select(table.c.expires_at).where(expiring).order_by(table.c.expires_at).limit(1))
    found = [instant for query in queries if (instant := conn.execute(query).scalar()) is not None]
    return min(found, default=None)
