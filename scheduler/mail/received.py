"""Reads a mail back into its parts, its invitation and its source. Pure; accepts any bytes and never raises."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from typing import Any, Literal

from icalendar import Calendar

_WHERE_DARK = re.compile(r"@media[^{]{0,100}prefers-color-scheme:\s{0,9}dark[^{]{0,100}\{")
_SCHEMES = re.compile(r'(<meta name="(?:supported-)?color-schemes?" content=)"light dark"')
_FOLD = re.compile(r"\n[ \t]")
_NAME = re.compile(r"[:;].*", re.DOTALL)  # what follows a property's name
_SHOWN = frozenset(
    ("BEGIN", "END", "METHOD", "SUMMARY", "DTSTART", "DTEND", "LOCATION", "ORGANIZER", "ATTENDEE", "SEQUENCE",
     "STATUS", "TRIGGER", "TZID", "TZNAME", "TZOFFSETFROM", "TZOFFSETTO", "RRULE", "RDATE")
)  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Received:
    """A mail as text. Parts that it does not have are empty."""

    subject: str
    sender: str
    to: str
    date: str
    message_id: str
    html: str
    text: str
    calendar: str
    source: str


@dataclass(frozen=True)
class Invitation:
    """The first event of a calendar part. `start` and `end` are UTC; None if the time is not a UTC instant.
    `written` has both as they are in the source."""

    method: str
    summary: str
    start: datetime | None
    end: datetime | None
    written: str
    location: str
    organizer: str
    attendees: tuple[str, ...]
    sequence: str
    status: str
    alarms: tuple[str, ...]


def read_mail(raw: bytes) -> Received:
    """The parts of a mail, each decoded by its own charset; bytes that do not fit it become U+FFFD."""
    message = message_from_bytes(raw)
    headers: dict[str, str] = {}
    for name, value in message.raw_items():
        headers.setdefault(name.lower(), header_words(str(value)))
    parts: dict[str, str] = {}
    for part in message.walk():
        if part.get_content_type() in ("text/html", "text/plain", "text/calendar"):
            parts.setdefault(part.get_content_subtype(), _decoded(part))
    return Received(
        subject=headers.get("subject", ""),
        sender=headers.get("from", ""),
        to=headers.get("to", ""),
        date=headers.get("date", ""),
        message_id=headers.get("message-id", ""),
        html=_with_pictures(parts.get("html", "").replace("\r\n", "\n"), message),
        text=_printable(parts.get("plain", "")),
        calendar=_printable(parts.get("calendar", "")),
        source=_printable(_as_text(raw, "utf-8", "latin-1")),
    )


def _with_pictures(html: str, message: Message) -> str:
    """`html` with the mail's embedded pictures (RFC 2392) as data: URLs: a page cannot refer to a mail's parts."""
    for part in message.walk():
        name = str(part.get("Content-ID", "")).strip("<> ")
        if not name or part.get_content_maintype() != "image":
            continue
        content, kind = part.get_payload(decode=True), part.get_content_subtype()
        if isinstance(content, bytes):
            picture = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
            html = html.replace(f'src="cid:{name}"', f'src="{picture}"')
    return html


def in_scheme(html: str, scheme: Literal["light", "dark"]) -> str:
    """A mail's HTML as in a client whose colours are light or dark, whatever those of the browser are."""
    html = _SCHEMES.sub(rf'\g<1>"{scheme}"', html)
    return _WHERE_DARK.sub("@media all {" if scheme == "dark" else "@media not all {", html)


def read_invitation(calendar: str) -> Invitation | None:
    """The event of an iCalendar text (RFC 5545); None if there is none or it cannot be read."""
    try:
        whole = Calendar.from_ical(_shown(calendar))
        event = next(iter(whole.walk("VEVENT")), None)
        return _invitation(whole, event) if event else None
    except Exception:  # a mail with a broken invitation is still shown, with the invitation's source
        return None


def _shown(calendar: str) -> str:
    """Its lines of which something is shown, unfolded: the others would take as long to read."""
    lines = _FOLD.sub("", calendar.replace("\r\n", "\n")).split("\n")
    return "\r\n".join(line for line in lines if _NAME.sub("", line).upper() in _SHOWN)


def _invitation(whole: Any, event: Any) -> Invitation:
    attendees = event.get("ATTENDEE", [])
    starts, ends = event.get("DTSTART"), event.get("DTEND")
    return Invitation(
        method=str(whole.get("METHOD", "")),
        summary=str(event.get("SUMMARY", "")),
        start=_instant(starts),
        end=_instant(ends),
        written=" – ".join(value.to_ical().decode() for value in (starts, ends) if value is not None),
        location=str(event.get("LOCATION", "")),
        organizer=_address(event.get("ORGANIZER", "")),
        attendees=tuple(map(_address, attendees if isinstance(attendees, list) else [attendees])),
        sequence=str(event.get("SEQUENCE", "")),
        status=str(event.get("STATUS", "")),
        alarms=tuple(_before(alarm["TRIGGER"]) for alarm in event.walk("VALARM") if "TRIGGER" in alarm),
    )


def _instant(value: Any) -> datetime | None:
    """The UTC instant of a value such as `20250703T110000Z`; None for a time with a TZID or without a zone, which
    programs interpret differently."""
    if value is None or not value.to_ical().endswith(b"Z"):
        return None
    moment: datetime = value.dt
    return moment.astimezone(UTC)


def _before(trigger: Any) -> str:
    """ "15 minutes before"; any other trigger as it is in the source."""
    if isinstance(trigger.dt, timedelta) and trigger.dt < timedelta(0):
        return f"{-trigger.dt / timedelta(minutes=1):g} minutes before"
    written: str = trigger.to_ical().decode()
    return written


def _address(value: Any) -> str:
    return str(value).removeprefix("mailto:").removeprefix("MAILTO:")


def header_words(value: str) -> str:
    """A header's value unfolded, with RFC 2047 words decoded and raw UTF-8 (RFC 6532) read as such."""
    unfolded = value.replace("\r", "").replace("\n", "")
    try:
        if "=?" in unfolded:
            unfolded = str(make_header(decode_header(unfolded)))
    except (MessageError, LookupError, ValueError):
        pass  # shown as it is
    return _printable(_as_text(unfolded.encode("utf-8", "surrogateescape"), "utf-8", "latin-1"))


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    return _as_text(payload, part.get_content_charset() or "utf-8", "")


def _as_text(raw: bytes, charset: str, otherwise: str) -> str:
    """`raw` decoded by `charset`, else by `otherwise`, else as UTF-8 with U+FFFD for invalid bytes."""
    for candidate in filter(None, (charset, otherwise)):
        try:
            return raw.decode(candidate)
        except (LookupError, ValueError):
            continue
    return raw.decode("utf-8", "replace")


def _printable(text: str) -> str:
    """Control characters as pictures, so that a page shows them and a parser doesn't meet them."""
    return _CONTROL.sub(_picture, text.replace("\r\n", "\n"))


def _picture(control: re.Match[str]) -> str:
    return chr(0x2421 if control[0] == "\x7f" else 0x2400 + ord(control[0]))
