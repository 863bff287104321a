"""Leases on pending deliveries, with fencing tokens: one sender for each, and what is left when a sender is gone.

A token begins with the number of the service that holds it (`database.presence`). Whoever plans a delivery anew
takes its lease away, so `outcomes.begin` fails for a mail that is stale.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, func, select, text

from scheduler.database.engine import dialect, run
from scheduler.database.models import Delivery, GoverningWebinar, Registration
from scheduler.ledger.told import last_told
from scheduler.told import Told
from scheduler.webinar import NOTICES

UNSETTLED = "state IN ('sending', 'in_doubt', 'held')"  # as its partial index says it
LEASE_SECONDS = 120.0  # renewed while a mail is on the wire; replicas' clocks may be off by a few seconds
RENEW_SECONDS = 4.0
GONE_SECONDS = (
    10.0  # a service may be away so long, as when PostgreSQL starts anew, before its mails are in doubt
)


def new_token(holder: int) -> str:
    """A token for one claim of the service with this number."""
    return f"{holder:08x}{secrets.token_hex(12)}"


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
    revision_id: int  # of the webinar, which governed when this was claimed
    urgency: int = 1  # 0: due on registration
    told: Told | None = None  # of a notice: what this person was told before


MAY_GO = (
    "r.plan = w.plan AND (w.waiting_id IS NULL OR d.urgency = 0 AND d.message NOT IN :notices)"
    " AND (d.urgency = 0 OR r.link_until IS NULL OR r.link_until <= :now)"
)
"""SQL: whether a delivery d may go out: its registration r is planned by the present plan of its webinar w, and it need
not wait for an edit, or a link of the person's own, that takes effect soon. Until then only confirmations leave."""


def claim(
    conn: Connection, now: datetime, token: str, live: Sequence[str], urgent: int, others: int
) -> list[Claimed]:
    """Lease due deliveries of these webinars: up to so many that are due on registration, which come first, and up
    to so many others. Which webinar comes first is drawn by lot, so a burst of one keeps no other waiting."""
    engine = dialect(conn)
    clock = engine.lease_clock(conn)
    ids: list[int] = []
    for urgency, limit in ((0, urgent), (1, others)):
        end = len(ids) + limit
        for webinar in random.sample(live, len(live)):
            if len(ids) < end:
                ids += run(
                    conn,
                    f"SELECT d.id FROM delivery d {engine.join_next} registration r ON r.id = d.registration_id"
                    f" {engine.join_next} webinar w ON w.webinar = d.webinar"
                    " WHERE d.state = 'pending' AND d.webinar = :webinar AND d.urgency = :urgency"
                    " AND d.next_attempt_at <= :now AND d.expires_at > :now"
                    f" AND (d.lease_token IS NULL OR d.lease_until < :clock) AND {MAY_GO}"
                    f" ORDER BY d.next_attempt_at LIMIT :limit {engine.skip_locked.format('d')}",
                    webinar=webinar,
                    notices=NOTICES,
                    urgency=urgency,
                    now=now,
                    clock=clock,
                    limit=end - len(ids),
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
    w = GoverningWebinar.__table__  # type: ignore[attr-defined]
    rows = conn.execute(
        select(
            d.c.id, d.c.registration_id, d.c.webinar, d.c.message, d.c.attempts, d.c.message_id,
            d.c.due_at, d.c.expires_at, d.c.urgency, r.c.address, r.c.name, r.c.language, r.c.zone, r.c.zone_known_by,
            r.c.join_url, r.c.uid, r.c.first_seen_at, w.c.revision_id,
        )
        .join_from(d, r, d.c.registration_id == r.c.id)
        .join(w, w.c.webinar == d.c.webinar)
        .where(d.c.id.in_(ids))
        .order_by(d.c.urgency, d.c.next_attempt_at)
    )  # fmt: skip
    claimed = [Claimed(token=token, **row) for row in rows.mappings()]
    if not (uids := [one.uid for one in claimed if one.message in NOTICES]):
        return claimed
    told = last_told(conn, uids)
    return [replace(one, told=told.get(one.uid)) if one.message in NOTICES else one for one in claimed]


def renew(conn: Connection, tokens: Iterable[str]) -> None:
    """Push the end of these leases out, while their mails are on the wire."""
    run(
        conn,
        "UPDATE delivery SET lease_until = :until WHERE lease_token IN :tokens",
        until=dialect(conn).lease_clock(conn) + LEASE_SECONDS,
        tokens=list(tokens),
    )


def release(conn: Connection, claimed: Iterable[Claimed]) -> None:
    """Give leases back unused."""
    ids: dict[str, list[int]] = {}
    for one in claimed:
        ids.setdefault(one.token, []).append(one.id)
    for token, of_token in ids.items():
        run(
            conn,
            "UPDATE delivery SET lease_token = NULL WHERE id IN :ids AND lease_token = :token AND state = 'pending'",
            ids=of_token,
            token=token,
        )


def abandon(conn: Connection, now: datetime, tokens: Iterable[str]) -> None:
    """At the end of this process: what was still on the wire is in doubt, what was not is pending again."""
    tokens = list(tokens)
    run(conn, "UPDATE delivery SET lease_until = -1 WHERE lease_token IN :tokens", tokens=tokens)
    recover(conn, now)
    run(
        conn,
        "UPDATE delivery SET lease_token = NULL WHERE lease_token IN :tokens AND state = 'pending'",
        tokens=tokens,
    )


def recover(conn: Connection, now: datetime) -> int:
    """Deliveries whose sender lost its lease while sending, or is gone, are in doubt; what it had only claimed is
    free again. Returns how many are in doubt."""
    engine = dialect(conn)
    clock, holders = engine.lease_clock(conn), engine.holders(conn)
    lapsed = "lease_until < :clock"
    values: dict[str, object] = {"clock": clock}
    if holders is not None:
        lapsed = f"({lapsed} OR substr(lease_token, 1, 8) NOT IN :there AND lease_until < :seen)"
        values |= {
            "there": [f"{holder:08x}" for holder in holders] or [""],
            "seen": clock + LEASE_SECONDS - GONE_SECONDS,
        }
        run(
            conn,
            f"UPDATE delivery SET lease_token = NULL WHERE state = 'pending' AND lease_token IS NOT NULL AND {lapsed}",
            **values,
        )
    ids = list(
        run(
            conn,
            "UPDATE delivery SET state = 'in_doubt', reason = 'its sender stopped while sending', lease_token = NULL"
            f" WHERE {UNSETTLED} AND state = 'sending' AND {lapsed} RETURNING id",
            **values,
        ).scalars()
    )
    if ids:
        run(
            conn,
            "UPDATE attempt SET outcome = 'in_doubt', ended_at = :now WHERE delivery_id IN :ids AND outcome = ''",
            ids=ids,
            now=now,
        )
    return len(ids)


def end_all_leases(conn: Connection) -> None:
    """At the start of the only process there is: whoever held a lease is gone."""
    run(conn, "UPDATE delivery SET lease_until = -1 WHERE lease_token IS NOT NULL")


def next_wake(conn: Connection, now: datetime, live: Iterable[str]) -> datetime | None:
    """The next instant after `now` at which a delivery is due or expires: None when the ledger waits for nothing."""
    table = Delivery.__table__  # type: ignore[attr-defined]
    # The states as the partial indexes name them: SQLite does not look into a parameter.
    queries = [
        select(table.c.next_attempt_at)
        .where(text("state = 'pending'"), table.c.webinar == webinar, table.c.urgency == urgency)
        .where(table.c.lease_token.is_(None), table.c.next_attempt_at > now)
        .order_by(table.c.next_attempt_at)
        .limit(1)
        for webinar in live
        for urgency in (0, 1)
    ]
    expiring = select(table.c.expires_at).where(
        text("state IN ('pending', 'held')"), table.c.expires_at > now
    )
    queries.append(expiring.order_by(table.c.expires_at).limit(1))
    edits, people = GoverningWebinar.__table__.c, Registration.__table__.c  # type: ignore[attr-defined]
    queries.append(select(func.min(edits.takes_effect_at)).where(edits.takes_effect_at > now))
    queries.append(select(func.min(people.link_until)).where(people.link_until > now))
    found = [instant for query in queries if (instant := conn.execute(query).scalar()) is not None]
    return min(found, default=None)
