"""One mail as one person would get it, made by the very code that makes the service's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any, Literal

from scheduler.ledger.entries import Claimed, Version
from scheduler.ledger.states import State
from scheduler.mail.texts import CurrentText
from scheduler.mail.writing.rendering import render
from scheduler.webinar.model import CANCELLATION, CHANGE, NOTICES, Webinar
from scheduler.webinar.timing import Timing, timings
from scheduler.webinar.told import Told
from scheduler.zones.wall import Zone

Format = Literal["html", "text", "eml"]


LEAD = timedelta(days=21)  # before the start people register, where no one says when


_NOT_SENT = (State.SKIPPED, State.CANCELLED, State.EXPIRED, State.FAILED, State.HELD)


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


def composed(webinar: Webinar, message: str, reader: Reader, zone: Zone, live: CurrentText) -> bytes:
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
