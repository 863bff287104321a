"""Leases on pending deliveries: each delivery has one sender, until it has an outcome or its sender is gone.

A lease is a token stored with the delivery. It begins with the name of the service that holds it and does not expire: a
service knows its own leases, and `database.watch` finds the services that are gone. Planning a delivery again ends its
lease, and `outcomes.begin` checks the token, so a mail that was claimed before that does not go out.
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
from scheduler.database.models import Delivery, GoverningWebinar, Instant, Registration, table
from scheduler.ledger.entries import Claimed
from scheduler.ledger.statements import execute_named, statement
from scheduler.ledger.told import last_told, replan_misinformed
from scheduler.webinar.model import NOTICES


def name_of(holder: int) -> str:
    """A service's name: the first eight characters of its tokens."""
    return f"{holder:08x}"


def new_token(holder: int) -> str:
    """A new token for one claim of this service."""
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
    """Lease due deliveries of live webinars: first up to `urgent` that are due on registration, then up to `others`.
    The order of webinars is random, so a burst of one delays no other.

    version: the highest `webinar.version` known here (None: any); webinars with a later one are skipped, and so are
    those in `without`. With nothing due, the cost does not depend on the number of webinars.
    """
    ids: list[int] = []
    for urgency, limit in ((0, urgent), (1, others)):
        end = len(ids) + limit
        if not limit:
            continue
        for webinar in webinars_with_something_due(conn, now, urgency, version, drafts_too=drafts_too):
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


def webinars_with_something_due(
    conn: Connection, now: datetime, urgency: int, version: int | None = None, *, drafts_too: bool = False
) -> list[str]:
    """The live webinars that have a due delivery of this urgency, in random order. `version`: as for `claim`."""
    highest = _ANY if version is None else version
    due = {"urgency": urgency, "now": now, "version": highest, "drafts_too": drafts_too}
    found = list(execute_named(conn, "webinars_with_something_due", **due).scalars())
    return random.sample(found, len(found))


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
    """The fields of `Claimed` except its token, in order, for the deliveries in :ids."""
    d, r = table(Delivery), table(Registration)
    w = table(GoverningWebinar)
    return (
        select(
            d.c.id, d.c.registration_id, r.c.uid, d.c.webinar, d.c.due_at, d.c.message, d.c.attempts, d.c.message_id,
            d.c.expires_at, r.c.address, r.c.name, r.c.language, r.c.zone, r.c.zone_known_by, r.c.join_url,
            r.c.first_seen_at, w.c.revision_id, d.c.urgency, r.c.key,
        )
        .join_from(d, r, d.c.registration_id == r.c.id)
        .join(w, w.c.webinar == d.c.webinar)
        .where(text(f"delivery.id IN {engine.numbers('ids')}"))
        .order_by(d.c.urgency, d.c.next_attempt_at)
    )  # fmt: skip


def release(conn: Connection, claimed: Iterable[Claimed]) -> None:
    """End leases that were not used."""
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
    """End all leases, or those of the services named `holders`, except for the deliveries in `known`. Deliveries that
    were on the wire become in doubt; the others can be claimed again. Returns the number in doubt."""
    ended = execute_named(
        conn,
        "end_leases",
        everybody=holders is None,
        holders=" ".join(holders or ()),
        known=as_list(conn, known),
    )
    in_doubt = [row for row in ended if row.state == "in_doubt"]
    if in_doubt:
        execute(
            conn,
            "UPDATE attempt SET outcome = 'in_doubt', ended_at = :now WHERE delivery_id IN :ids AND outcome = ''",
            ids=[row.id for row in in_doubt],
            now=now,
        )
        replan_misinformed(conn, [row.registration_id for row in in_doubt])
    return len(in_doubt)


def end_leases_of_gone(conn: Connection, now: datetime, gone: Mapping[str, int | None]) -> int:
    """End the leases of services that are gone (name to last counter, from `database.watch`), and delete their rows in
    `service`. A service that has raised its counter since is left alone. Returns the number of deliveries in doubt."""
    delete = "DELETE FROM service WHERE holder = :holder AND counter = :counter"
    for row in execute(conn, "SELECT holder, counter FROM service").all():
        if gone.get(name_of(row.holder)) == row.counter:
            execute(conn, delete, holder=row.holder, counter=row.counter)
    present = {name_of(holder) for holder in execute(conn, "SELECT holder FROM service").scalars()}
    ended = gone.keys() - present
    return end_leases(conn, now, ended) if ended else 0


def next_wake(conn: Connection, now: datetime) -> datetime | None:
    """The next instant (UTC) after `now` at which a delivery is due or expires, or a waiting edit or link takes effect;
    None if there is none."""
    query = text(statement("next_wake", dialect(conn))).bindparams(bindparam("now", type_=Instant()))
    found = conn.execute(query.columns(at=Instant()), {"now": now}).scalars()
    return min((instant for instant in found if instant), default=None)
