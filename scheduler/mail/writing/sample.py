"""A mail as one person would get it, made by the service's own code. Pure."""

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

SAMPLE_KEY = "0" * 40
"""In place of a registration's key, which only the mail to that person may have."""
LEAD = timedelta(days=21)  # assumed time between registration and start, if unknown
_NOT_SENT = (State.SKIPPED, State.CANCELLED, State.EXPIRED, State.FAILED, State.HELD)


@dataclass(frozen=True)
class Reader:
    """A person registered for one webinar, and the state of their mails.

    `last`: the newest version of their invitation. `deliveries`: the ledger's newest edition of each message.
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
        """This reader with a confirmed zone; what the ledger says no longer applies."""
        return replace(self, zone=str(zone), zone_known_by="confirmed", deliveries=None)

    def why_not(self, webinar: Webinar, message: str, zone: Zone) -> str:
        """Why this person does not get the message; "" if they do."""
        if never := _timing(webinar, message, zone).never:
            return never
        delivery = (self.deliveries or {}).get(message, {})
        state, reason = delivery.get("state"), delivery.get("reason")
        return (f"{state}: {reason}" if reason else str(state)) if state in _NOT_SENT else ""


def sample_reader(webinar: Webinar) -> Reader:
    """A made-up reader of the webinar's first language, in its own zone."""
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


def compose_sample(
    webinar: Webinar,
    message: str,
    reader: Reader,
    zone: Zone,
    current: CurrentText,
    pages_url: str = "",
) -> bytes:
    """The mail as it would go on the wire, at the moment when it is due in that zone; a message without a fixed
    time at the person's registration. Its links to the reader's page lead nowhere. Raises whatever a text or a value
    raises."""
    timing, due_at = _timing(webinar, message, zone), sent_at(webinar, message, reader, zone)
    delivery = (reader.deliveries or {}).get(message, {})
    last = reader.last
    if message in NOTICES:  # a notice is about a change, so the last version had other facts
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
        key=SAMPLE_KEY,
    )
    told = sample_told(webinar, message)
    return render(claimed, webinar, current, last, due_at, "", told=told, pages_url=pages_url).content


def sample_told(webinar: Webinar, message: str) -> Told | None:
    """Former facts for a change notice to show: times an hour earlier, and another link. None for other messages."""
    if message != CHANGE:
        return None
    hour = timedelta(hours=1)
    return Told(webinar.start - hour, webinar.end - hour, "https://example.org/the-former-link")


def sent_at(webinar: Webinar, message: str, reader: Reader, zone: Zone) -> datetime:
    """When this person gets the message, UTC; one without a fixed time at their registration."""
    delivery = (reader.deliveries or {}).get(message, {})
    return _timing(webinar, message, zone).due_at or delivery.get("due_at") or reader.first_seen_at


def _timing(webinar: Webinar, message: str, zone: Zone) -> Timing:
    found = {timing.message: timing for timing in timings(webinar, zone)}
    return found.get(message) or Timing(message, None, webinar.end)


def in_format(content: bytes, wanted: Format) -> bytes:
    """The whole mail, or one of its two bodies, the plain text with the headers that a reader sees."""
    if wanted == "eml":
        return content
    mail = message_from_bytes(content, policy=default)
    body = mail.get_body(("html" if wanted == "html" else "plain",))
    words = str(body.get_content()) if body else ""
    if wanted == "text":
        head = (f"{name}: {mail[name]}" for name in ("From", "To", "Subject", "Date"))
        words = "\n".join((*head, "", words))
    return words.encode("utf-8")
