"""Leases on pending deliveries: each delivery has one sender, until it has an outcome or its sender is gone.

A lease is a token on the delivery, which begins with the name of the service that holds it, and has no end in time. A
service knows what it holds; `database.watch` tells which of the others are gone. Planning a delivery again ends its
lease, and `outcomes.begin` asks for the token, so nothing that was claimed before goes out after that.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, text

from scheduler.database.dialect import Dialect
from scheduler.database.engine import as_list, dialect, execute, listed
from scheduler.database.models import Delivery, GoverningWebinar, Instant, Registration
from scheduler.ledger.entries import Claimed
from scheduler.ledger.statements import execute_named, statement
from scheduler.ledger.told import last_told, plan_who_was_told_otherwise
from scheduler.webinar.model import NOTICES


def name_of(holder: int) -> str:
    """A service's name, with which its tokens begin."""
    return f"{holder:08x}"


def new_token(holder: int) -> str:
    """A token for one claim of the service with this number."""
    return name_of(holder) + secrets.token_hex(12)


def claim(
    conn: Connection,
    now: datetime,
    token: str,
    urgent: int,
    others: int,
    *,
    version: int | None = None,
    without: Collection[str] = (),
    drafts_too: bool = False,
) -> list[Claimed]:
    """Lease due deliveries of live webinars: up to so many that are due on registration, which come first, and up to
    so many others. Which webinar comes first is drawn by lot, so a burst of one keeps no other waiting.

    version: the highest of table `webinar` that is known here (None: all are): what governs by a later one is left
    alone, and so is `without`. With nothing due it costs the same however many webinars there are.
    """
    ids: list[int] = []
    for urgency, limit in ((0, urgent), (1, others)):
        end = len(ids) + limit
        webinars = _with_something_due(conn, now, urgency, version, drafts_too) if limit else []
        for webinar in random.sample(webinars, len(webinars)):
            if len(ids) < end and webinar not in without:
                due = {"webinar": webinar, "urgency": urgency, "now": now, "limit": end - len(ids)}
                ids += execute_named(conn, "due", **due).scalars()
    if not ids:
        return []
    leased = as_list(conn, ids)
    execute(
        conn,
        f"UPDATE delivery SET lease_token = :token WHERE id IN {listed(conn, 'ids')}",
        token=token,
        ids=leased,
    )
    return _claimed(conn, leased, token)


def _with_something_due(
    conn: Connection, now: datetime, urgency: int, version: int | None, drafts_too: bool
) -> list[str]:
    found = execute_named(
        conn,
        "webinars_with_something_due",
        urgency=urgency,
        now=now,
        version=_ANY if version is None else version,
        drafts_too=drafts_too,
    )
    return list(found.scalars())


_ANY = 2**62  # higher than any version


def _claimed(conn: Connection, ids: str, token: str) -> list[Claimed]:
    rows = conn.execute(_columns(dialect(conn)), {"ids": ids})
    claimed = [Claimed(number, token, *others) for number, *others in rows]
    if not (uids := [one.uid for one in claimed if one.message in NOTICES]):
        return claimed
    told = last_told(conn, uids)
    return [replace(one, told=told.get(one.uid)) if one.message in NOTICES else one for one in claimed]


@cache
def _columns(engine: Dialect) -> Select[Any]:
    """The fields of `Claimed` but its token, in their order, of the deliveries in :ids."""
    d, r = Delivery.__table__, Registration.__table__  # type: ignore[attr-defined]
    w = GoverningWebinar.__table__  # type: ignore[attr-defined]
    return (
        select(
            d.c.id, d.c.registration_id, r.c.uid, d.c.webinar, d.c.due_at, d.c.message, d.c.attempts, d.c.message_id,
            d.c.expires_at, r.c.address, r.c.name, r.c.language, r.c.zone, r.c.zone_known_by, r.c.join_url,
            r.c.first_seen_at, w.c.revision_id, d.c.urgency,
        )
        .join_from(d, r, d.c.registration_id == r.c.id)
        .join(w, w.c.webinar == d.c.webinar)
        .where(text(f"delivery.id IN {engine.numbers('ids')}"))
        .order_by(d.c.urgency, d.c.next_attempt_at)
    )  # fmt: skip


def release(conn: Connection, claimed: Iterable[Claimed]) -> None:
    """Give leases back unused."""
    ids: dict[str, list[int]] = {}
    for one in claimed:
        ids.setdefault(one.token, []).append(one.id)
    for token, of_token in ids.items():
        execute(
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
    ended = execute_named(
        conn,
        "end_leases",
        everybody=holders is None,
        holders=" ".join(holders or ()),
        known=as_list(conn, known),
    )
    in_doubt = [row for row in ended if row.state == "in_doubt"]
    doubtful = [row.id for row in in_doubt]
    if doubtful:
        execute(
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
    for row in execute(conn, "SELECT holder, counter FROM service").all():
        if gone.get(name_of(row.holder)) == row.counter:
            execute(conn, forget, holder=row.holder, counter=row.counter)
    there = {name_of(holder) for holder in execute(conn, "SELECT holder FROM service").scalars()}
    ended = gone.keys() - there
    return end_leases(conn, now, ended) if ended else 0


def next_wake(conn: Connection, now: datetime) -> datetime | None:
    """The next instant after `now` at which a delivery is due or expires, or something that waits takes effect: None
    when the ledger waits for nothing."""
    query = text(statement("next_wake", dialect(conn))).bindparams(bindparam("now", type_=Instant()))
    found = conn.execute(query.columns(at=Instant()), {"now": now}).scalars()
    return min((instant for instant in found if instant), default=None)
