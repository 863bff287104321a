"""Everything that is held of one person, for that person: the right of access (GDPR, Article 15). Only reads.

It is for that person's eyes alone: nothing of it goes into a log. Of a registration that has another address now, only
what went to this one is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from scheduler.database.models import FormerUid, Invitation, MailedLink, Registration, Signup, Told, table
from scheduler.input.addresses import fold
from scheduler.ledger.forgetting import find
from scheduler.ledger.history import registration_history, registrations_of
from scheduler.registrants.forgotten import forgotten
from scheduler.registrants.rows import Registrants
from scheduler.registrants.suppression import suppressions

Json = dict[str, Any]

_R = table(Registration)
_I = table(Invitation)
_T = table(Told)
_F = table(FormerUid)
_L = table(MailedLink)
_U = table(Signup)


def personal_data(conn: Connection, now: datetime, address: str) -> Json:
    """All of it: instants in UTC, local times with their offset."""
    folded, found = fold(address), find(conn, address)
    was = forgotten(conn, address)
    signed_up = select(_U).where(_U.c.address_folded == folded).order_by(_U.c.id)
    return {
        "address": folded,
        "as_of": now,
        "registrations": [_registration(conn, one) for one in registrations_of(conn, folded)],
        "mails_before_the_address_was_changed": [
            mail for one in found.others for mail in _mails_there(conn, one, folded)
        ],
        "confirmed_by_another_system_for": sorted(found.confirmed),
        "rows_of_registrants": _rows(conn, found.rows),
        "suppressed": [
            {"webinar": webinar or None, "source": source, "since": since}
            for webinar, (source, since) in suppressions(conn, folded).items()
        ],
        "registered_with_us": [_signup(dict(row)) for row in conn.execute(signed_up).mappings()],
        "forgotten_since": was[0] if was else None,
        "suppressed_as_forgotten": was is not None and was[1],
    }


def is_anything(held: Json) -> bool:
    """Whether anything but the address itself was found."""
    return any(value for key, value in held.items() if key not in ("address", "as_of"))


def _columns(conn: Connection, registration_id: int) -> Json:
    return dict(conn.execute(select(_R).where(_R.c.id == registration_id)).mappings().one())


def _registration(conn: Connection, registration_id: int) -> Json:
    columns = _columns(conn, registration_id)
    former = conn.execute(select(_F.c.uid).where(_F.c.registration_id == registration_id)).scalars()
    uids = [columns["uid"], *former]
    invitations = conn.execute(select(_I).where(_I.c.uid.in_(uids)).order_by(_I.c.id)).mappings()
    told = conn.execute(select(_T).where(_T.c.uid.in_(uids)).order_by(_T.c.id)).mappings()
    mailed = (_L.c.purpose == "data", _L.c.subject_id == registration_id)
    kept = ("starts_at", "ends_at", "join_url", "cancelled", "accepted")
    return {
        **registration_history(conn, columns),
        "join_url": columns["join_url"],
        "calendar_uids": uids,
        "invitations": [
            {"uid": one["uid"], "version": one["sequence"], "method": one["method"], "made_at": one["dtstamp"],
             "calendar": one["calendar"].decode()}
            for one in invitations
        ],
        "links_mailed_until": list(conn.execute(select(_L.c.until).where(*mailed)).scalars()),
        "last_told": [{name: one[name] for name in kept} for one in told],
    }  # fmt: skip


def _signup(row: Json) -> Json:
    """What somebody said when they registered by the form, or a system by the API."""
    return row | {"answers": json.loads(row["answers"])}


def _mails_there(conn: Connection, registration_id: int, folded: str) -> Iterable[Json]:
    """The mails of a registration that went to a former address of it."""
    known = registration_history(conn, _columns(conn, registration_id))
    for one in known["deliveries"]:
        if tries := [attempt for attempt in one["attempts"] if fold(attempt["to"]) == folded]:
            yield {"webinar": known["webinar"], "message": one["message"], "attempts": tries}


def _rows(conn: Connection, webinars: Mapping[int, str]) -> list[Json]:
    """What the table holds that is its owner's, as far as we read it, as it is written there."""
    if not webinars:
        return []
    registrants = Registrants(conn)
    said = registrants.registered_at(webinars)
    return [
        row._asdict() | {"registered_at": _with_zone(said.get(row.id, ""))}
        for row in registrants.read(webinars)
    ]


def _with_zone(said: str) -> str | datetime | None:
    """A time without a zone is UTC."""
    try:
        instant = datetime.fromisoformat(said)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return said or None
