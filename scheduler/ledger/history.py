"""The history of one address: all mails sent and planned, with attempts and replies. Only reads.

The result holds personal data: it is shown to the user who asked for the address, and never logged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytz
from sqlalchemy import Connection, select

from scheduler.database.engine import execute
from scheduler.database.models import (
    Attempt,
    ConfirmedElsewhere,
    Delivery,
    GoverningWebinar,
    Registration,
    ZoneEvidence,
    table,
)
from scheduler.input.addresses import fold
from scheduler.ledger.states import State
from scheduler.registrants import choices
from scheduler.registrants.rows import Registrants, RegistrantsUnreadable
from scheduler.registrants.signups import pending
from scheduler.registrants.suppression import EVERYTHING, suppressions
from scheduler.zones.wall import to_local

Json = dict[str, Any]

_R = table(Registration)
_D = table(Delivery)
_A = table(Attempt)

_OF_DELIVERY = (
    "message",
    "edition",
    "state",
    "reason",
    "due_at",
    "expires_at",
    "next_attempt_at",
    "sent_at",
    "asked_by",
)
_OF_ATTEMPT = ("started_at", "ended_at", "outcome", "language", "text_revision", "relay", "stage", "code",
               "enhanced", "reply")  # fmt: skip
_OF_REGISTRATION = ("address", "name", "language", "timezone", "country", "zone", "zone_known_by",
                    "first_seen_at", "gone_at")  # fmt: skip


def history(conn: Connection, address: str) -> Json | None:
    """Everything about an address, in the form of `webinar show --json`; None if nobody has or had it.

    A registration whose address was corrected is found by each address to which a mail of it went.
    """
    folded = fold(address)
    ids = {*registrations_of(conn, folded), *registrations_mailed_at(conn, folded)}
    since = {webinar: at for webinar, (_, at) in suppressions(conn, folded).items()}
    rows, signups = _rows_without_plan(conn, folded), pending(conn, folded)
    if not ids and not rows and not since and not signups:
        return None
    found = conn.execute(select(_R).where(_R.c.id.in_(ids)).order_by(_R.c.webinar, _R.c.id)).mappings().all()
    return {
        "suppressed_since": since.pop(EVERYTHING, None),
        "unsubscribed_since": since,
        "registrations": [registration_history(conn, dict(row)) for row in found],
        "rows": rows,
        "signups": [one._asdict() for one in signups],
    }


def registrations_of(conn: Connection, folded: str) -> list[int]:
    """The registrations that have this address now."""
    return list(conn.execute(select(_R.c.id).where(_R.c.address_folded == folded)).scalars())


def registrations_mailed_at(conn: Connection, folded: str) -> list[int]:
    """The registrations of which a mail went to this address. Folded here, since no database folds in the same way."""
    written = [one for one in conn.execute(select(_A.c.address).distinct()).scalars() if fold(one) == folded]
    query = select(_D.c.registration_id).join(_A, _A.c.delivery_id == _D.c.id)
    return list(conn.execute(query.where(_A.c.address.in_(written)).distinct()).scalars()) if written else []


def _rows_without_plan(conn: Connection, folded: str) -> list[Json]:
    """Rows of `registrants` with this address that are set aside, or whose change is not absorbed yet."""
    try:
        registrants = Registrants(conn)
    except RegistrantsUnreadable:  # `webinar status` says so
        return []
    found: list[Json] = []
    for state, other in (
        ("set aside", "SELECT registrant_id, reason FROM row_set_aside ORDER BY registrant_id"),
        ("not planned yet", "SELECT DISTINCT registrant_id, '' AS reason FROM registrant_change"
                            " WHERE registrant_id IS NOT NULL ORDER BY registrant_id"),
    ):  # fmt: skip
        reasons = {row.registrant_id: row.reason for row in execute(conn, other)}
        for number, (webinar, email) in registrants.people(reasons).items():
            if fold(email) == folded:
                found.append({"row": number, "webinar": webinar, "state": state, "reason": reasons[number]})
    return found


def former_start(conn: Connection, registration_id: int, start: datetime) -> datetime | None:
    """The start that the newest mail of a registration with another one than `start` went out with, or None."""
    found: datetime | None = conn.execute(
        select(_D.c.for_start)
        .where(_D.c.registration_id == registration_id, _D.c.state == State.SENT, _D.c.for_start != start)
        .order_by(_D.c.sent_at.desc())
        .limit(1)
    ).scalar()
    return found


def registration_history(conn: Connection, row: Json) -> Json:
    """One registration with its deliveries and their attempts. `row` holds its columns."""
    deliveries = conn.execute(
        select(_D).where(_D.c.registration_id == row["id"]).order_by(_D.c.due_at, _D.c.id)
    ).mappings()
    return {
        "webinar": row["webinar"],
        "webinar_status": _webinar_status(conn, row["webinar"]),
        "row": row["registrant_id"],
        **{key: row[key] for key in _OF_REGISTRATION},
        "zone_problem": _zone_problem(conn, row),
        "own_link": bool(row["join_url"]),
        "confirmed_elsewhere": _confirmed_elsewhere(conn, row),
        **_chosen(conn, row),
        "deliveries": [_delivery(conn, dict(one), row["zone"]) for one in deliveries],
    }


def _chosen(conn: Connection, row: Json) -> Json:
    """What the person chose on their page; an organizer may have unsubscribed them, too."""
    person = (row["webinar"], row["address_folded"])
    chosen = choices.chosen(conn, [person]).get(person, choices.NOTHING)
    _, unsubscribed_since = suppressions(conn, row["address_folded"]).get(row["webinar"], ("", None))
    return {
        "chosen_zone": chosen.zone or None,
        "chosen_language": chosen.language or None,
        "unwanted": sorted(choices.unwanted_by(conn, person)),
        "withdrawn_at": chosen.withdrawn_at,
        "unsubscribed_since": unsubscribed_since,
    }


def _delivery(conn: Connection, row: Json, zone: str) -> Json:
    attempts = conn.execute(select(_A).where(_A.c.delivery_id == row["id"]).order_by(_A.c.id)).mappings()
    return {
        **{key: row[key] for key in _OF_DELIVERY},
        "due_local": _local(row["due_at"], zone),
        "message_id": row["message_id"] or None,
        "attempts": [{"to": one["address"], **{key: one[key] for key in _OF_ATTEMPT}} for one in attempts],
    }


def _local(instant: datetime, zone: str) -> datetime:
    try:
        return to_local(instant, pytz.timezone(zone))
    except pytz.UnknownTimeZoneError:  # not resolved yet
        return to_local(instant, pytz.utc)


def _webinar_status(conn: Connection, webinar: str) -> str | None:
    """The status that governs (draft, live or ended); None where no revision ever did."""
    webinars = table(GoverningWebinar)
    return conn.execute(select(webinars.c.status).where(webinars.c.webinar == webinar)).scalar()


def _zone_problem(conn: Connection, row: Json) -> str:
    evidence = table(ZoneEvidence)
    here = [evidence.c[key] == row[key] for key in ("webinar", "timezone", "country")]
    return conn.execute(select(evidence.c.problem).where(*here)).scalar() or ""


def _confirmed_elsewhere(conn: Connection, row: Json) -> bool:
    confirmed = table(ConfirmedElsewhere)
    here = [confirmed.c[key] == row[key] for key in ("webinar", "address_folded")]
    return conn.execute(select(confirmed.c.webinar).where(*here)).first() is not None
