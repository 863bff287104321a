"""One mail as one person would get it, made by the very code that makes the service's. Nothing is stored or sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any, Literal

from sqlalchemy import Connection, Table, select

from scheduler.database.models import Delivery, Registration
from scheduler.governing.texts import LiveText
from scheduler.input.addresses import fold
from scheduler.ledger.claims import Claimed
from scheduler.ledger.outcomes import Version, last_versions
from scheduler.ledger.states import State
from scheduler.mail.writing.rendering import render
from scheduler.registrants.rows import Registrants, RegistrantsUnreadable, why_unusable
from scheduler.webinar.model import CANCELLATION, CHANGE, NOTICES, Webinar
from scheduler.webinar.timing import Timing, timings
from scheduler.webinar.told import Told
from scheduler.zones.wall import Zone, zone_of

Format = Literal["html", "text", "eml"]

LEAD = timedelta(days=21)  # before the start people register, where no one says when
_NOT_SENT = (State.SKIPPED, State.CANCELLED, State.EXPIRED, State.FAILED, State.HELD)
_R: Table = Registration.__table__  # type: ignore[attr-defined]
_D: Table = Delivery.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Reader:
    """Somebody registered for one webinar, and what they were sent of their invitation.

    `deliveries`: what the ledger says of each message, the newest edition.
    """

    address: str
    name: str
    language: str
    zone: str
    zone_known_by: str
    join_url: str
    uid: str
    first_seen_at: datetime
    id: int = 0
    last: Version | None = None
    deliveries: Mapping[str, Mapping[str, Any]] | None = None

    def in_zone(self, zone: Zone) -> Reader:
        """As if they had confirmed that zone; what the ledger says holds no more."""
        return replace(self, zone=str(zone), zone_known_by="confirmed", deliveries=None)

    def why_not(self, webinar: Webinar, message: str, zone: Zone) -> str:
        """Why this person does not get the message, or ''."""
        if never := _timing(webinar, message, zone).never:
            return never
        delivery = (self.deliveries or {}).get(message, {})
        state, reason = delivery.get("state"), delivery.get("reason")
        return (f"{state}: {reason}" if reason else str(state)) if state in _NOT_SENT else ""


class NotRegistered(LookupError):
    """Nobody with that address is registered for the webinar, or their row can't be used; says why."""


def made_up(webinar: Webinar) -> Reader:
    """Somebody who reads the webinar's first language, in its own zone."""
    return Reader(
        address="registrant@example.org",
        name="Sample Registrant",
        language=webinar.languages[0],
        zone=str(webinar.tz),
        zone_known_by="confirmed",
        join_url="",
        uid="preview@example.org",
        first_seen_at=webinar.start - LEAD,
    )


def registered(conn: Connection, webinar: Webinar, address: str) -> Reader:
    """The person who is registered with this address, planned already or not. Raises NotRegistered."""
    query = select(_R).where(_R.c.webinar == webinar.id, _R.c.address_folded == fold(address))
    row = conn.execute(query.order_by(_R.c.gone_at.is_(None).desc(), _R.c.id.desc())).mappings().first()
    if row is None:
        return _not_planned_yet(conn, webinar, address)
    deliveries = conn.execute(
        select(_D).where(_D.c.registration_id == row["id"]).order_by(_D.c.edition)
    ).mappings()
    known = ("id", "address", "name", "language", "zone", "zone_known_by", "join_url", "uid", "first_seen_at")
    return Reader(
        **{name: row[name] for name in known},
        last=last_versions(conn, [row["uid"]]).get(row["uid"]),
        deliveries={one["message"]: dict(one) for one in deliveries},
    )


def _not_planned_yet(conn: Connection, webinar: Webinar, address: str) -> Reader:
    try:
        registrants, person = Registrants(conn), (webinar.id, fold(address))
        number = registrants.find([(webinar.id, address)]).get(person) or registrants.odd(webinar.id).get(
            person
        )
        rows = [] if number is None else registrants.read([number])
    except RegistrantsUnreadable as reason:
        raise NotRegistered(str(reason)) from None
    if not rows:
        raise NotRegistered(f"nobody with that address is registered for {webinar.id}")
    (row,) = rows
    if why := why_unusable(row, [webinar.id]):
        raise NotRegistered(f"row {row.id} of registrants can't be used: {why}")
    zone = zone_of(row.timezone or None, row.country or None, webinar.tz, webinar.start)
    return replace(
        made_up(webinar),
        address=row.email,
        name=row.name,
        language=row.language,
        zone=zone.zone,
        zone_known_by=zone.known_by,
        join_url=row.join_url,
    )


def composed(webinar: Webinar, message: str, reader: Reader, zone: Zone, live: LiveText) -> bytes:
    """The mail as it would go on the wire, at the moment when it is due in that zone; a message of no fixed time when
    the person registered. Raises whatever a text or a value make raise."""
    timing, due_at = _timing(webinar, message, zone), moment(webinar, message, reader, zone)
    delivery = (reader.deliveries or {}).get(message, {})
    last = reader.last
    if message in NOTICES:  # they tell of a change, so people were told something else before
        last = (
            replace(last, says="")
            if last
            else Version(reader.uid, 0, "REQUEST", reader.first_seen_at, "", b"")
        )
    if message == CANCELLATION:
        webinar = webinar.model_copy(update={"cancelled": True})
    claimed = Claimed(
        id=0,
        token="",
        registration_id=reader.id,
        webinar=webinar.id,
        message=message,
        attempts=0,
        message_id=delivery.get("message_id") or "",
        due_at=due_at,
        expires_at=timing.expires_at,
        address=reader.address,
        name=reader.name,
        language=reader.language,
        zone=reader.zone,
        zone_known_by=reader.zone_known_by,
        join_url=reader.join_url,
        uid=reader.uid,
        first_seen_at=reader.first_seen_at,
        revision_id=0,
    )
    return render(claimed, webinar, live, last, due_at, "", told=told_before(webinar, message)).content


def told_before(webinar: Webinar, message: str) -> Told | None:
    """What readers knew before, for the notice of a change, so that it has one to show: times an hour earlier, and
    another link. None for the other messages."""
    if message != CHANGE:
        return None
    hour = timedelta(hours=1)
    return Told(webinar.start - hour, webinar.end - hour, "https://example.org/the-former-link")


def moment(webinar: Webinar, message: str, reader: Reader, zone: Zone) -> datetime:
    """When this person gets the message, in UTC: one of no fixed time when they registered."""
    delivery = (reader.deliveries or {}).get(message, {})
    return _timing(webinar, message, zone).due_at or delivery.get("due_at") or reader.first_seen_at


def _timing(webinar: Webinar, message: str, zone: Zone) -> Timing:
    found = {timing.message: timing for timing in timings(webinar, zone)}
    return found.get(message) or Timing(message, None, webinar.end)


def in_format(content: bytes, wanted: Format) -> bytes:
    """The whole mail, or one of its two bodies, the text below the headers that a reader sees."""
    if wanted == "eml":
        return content
    mail = message_from_bytes(content, policy=default)
    body = mail.get_body(("html" if wanted == "html" else "plain",))
    words = str(body.get_content()) if body else ""
    if wanted == "text":
        head = (f"{name}: {mail[name]}" for name in ("From", "To", "Subject", "Date"))
        words = "\n".join((*head, "", words))
    return words.encode("utf-8")
