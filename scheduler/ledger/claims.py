"""Leases on pending deliveries: each delivery has one sender, until it has an outcome or its sender is gone.

A lease is a token on the delivery, which begins with the name of the service that holds it, and has no end in time. A
service knows what it holds; `database.watch` tells which of the others are gone. Planning a delivery again ends its
lease, and `outcomes.begin` asks for the token, so nothing that was claimed before goes out after that.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, func, select, text

from scheduler.database.engine import dialect, run
from scheduler.database.models import Delivery, GoverningWebinar, Registration
from scheduler.ledger.told import last_told, plan_who_was_told_otherwise
from scheduler.told import Told
from scheduler.webinar import NOTICES

UNSETTLED = "state IN ('sending', 'in_doubt', 'held')"  # as its partial index says it


def name_of(holder: int) -> str:
    """A service's name, with which its tokens begin."""
    return f"{holder:08x}"


def new_token(holder: int) -> str:
    """A token for one claim of the service with this number."""
    return name_of(holder) + secrets.token_hex(12)


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
                    f" AND d.lease_token IS NULL AND {MAY_GO}"
                    f" ORDER BY d.next_attempt_at LIMIT :limit {engine.skip_locked.format('d')}",
                    webinar=webinar,
                    notices=NOTICES,
                    urgency=urgency,
                    now=now,
                    limit=end - len(ids),
                ).scalars()
    if not ids:
        return []
    run(conn, "UPDATE delivery SET lease_token = :token WHERE id IN :ids", token=token, ids=ids)
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


def end_leases(
    conn: Connection, now: datetime, holders: Collection[str] | None = None, known: Collection[int] = ()
) -> int:
    """End all leases, or those of these services (by name), but for the deliveries in `known`. What was on the wire is
    in doubt, what was only claimed is free. Returns how many are in doubt."""
    whose = "" if holders is None else " AND substr(lease_token, 1, 8) IN :holders"
    ended = run(
        conn,
        "UPDATE delivery SET lease_token = NULL,"
        " state = CASE WHEN state = 'sending' THEN 'in_doubt' ELSE state END,"
        " reason = CASE WHEN state = 'sending' THEN 'its sender stopped while sending' ELSE reason END"
        f" WHERE lease_token IS NOT NULL AND id NOT IN :known{whose} RETURNING id, state, registration_id",
        known=known or [0],
        **({} if holders is None else {"holders": holders}),
    )
    in_doubt = [row for row in ended if row.state == "in_doubt"]
    doubtful = [row.id for row in in_doubt]
    if doubtful:
        run(
            conn,
            "UPDATE attempt SET outcome = 'in_doubt', ended_at = :now WHERE delivery_id IN :ids AND outcome = ''",
            ids=doubtful,
            now=now,
        )
        plan_who_was_told_otherwise(conn, [row.registration_id for row in in_doubt])
    return len(doubtful)


def end_leases_of_gone(conn: Connection, now: datetime, gone: Mapping[str, int | None]) -> int:
    """End the leases of services that are gone (`database.watch`: by name, with their counters), and forget them; but
    not of one that has raised its counter after all. Returns how many deliveries are in doubt."""
    forget = "DELETE FROM service WHERE holder = :holder AND counter = :counter"
    for row in run(conn, "SELECT holder, counter FROM service").all():
        if gone.get(name_of(row.holder)) == row.counter:
            run(conn, forget, holder=row.holder, counter=row.counter)
    there = {name_of(holder) for holder in run(conn, "SELECT holder FROM service").scalars()}
    ended = gone.keys() - there
    return end_leases(conn, now, ended) if ended else 0


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
