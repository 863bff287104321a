"""The calendar entry of one registrant (RFC 5545, RFC 5546) as bytes.

Start and end are UTC instants: calendars show them in their owner's zone, and there is no VTIMEZONE to misread.
Written property by property, because clients tolerate different deviations; icalendar folds and escapes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal

from icalendar import Alarm, Calendar, Event, vCalAddress, vText, vUri

from scheduler.input.values import Mailbox
from scheduler.mail.words.links import mailto_address
from scheduler.mail.words.names import clean_name
from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.wording import clock_time
from scheduler.mail.writing.composing import wire_address
from scheduler.webinar.model import Webinar

PRODUCT = "-//webinar-scheduler//invitations//EN"
ALARM = "-PT15M"


def invitation(
    *,
    uid: str,
    sequence: int,
    dtstamp: datetime,
    created: datetime,
    webinar: Webinar,
    language: str,
    join_url: str,
    name: str,
    address: str,
    method: Literal["REQUEST", "CANCEL"] = "REQUEST",
) -> bytes:
    """The entry for the registrant at `address` (as in the mail's To), with CRLF, folded at 75 octets.

    `uid` never changes; `sequence` grows with every version; `dtstamp` and `created` are fixed for the version and
    the registrant, so that a retry sends the same bytes. CANCEL removes the entry. Raises ValueError for a link or an
    address with control characters.
    """
    is_cancelled = method == "CANCEL"
    words, own = phrases(language), webinar.words(language)
    event = Event()
    event.add("UID", uid)
    event.add("SEQUENCE", sequence)
    event.add("DTSTAMP", _utc(dtstamp))
    event.add("CREATED", _utc(created))
    event.add("LAST-MODIFIED", _utc(dtstamp))
    event.add("DTSTART", _utc(webinar.start))
    event.add("DTEND", _utc(webinar.end))
    event.add("SUMMARY", own.title)
    event.add("ORGANIZER", _organizer(webinar.sender_in(language)))
    event.add("ATTENDEE", _attendee(name, address), encode=False)
    event.add("STATUS", "CANCELLED" if is_cancelled else "CONFIRMED")
    event.add("TRANSP", "OPAQUE")
    if not is_cancelled:
        event.add("DESCRIPTION", _description(webinar, language, join_url))
        if join_url:
            event.add("LOCATION", join_url)
            event.add("URL", _uri(join_url))
            event.add("CONFERENCE", _conference(join_url, words.join))
        event.add_component(_alarm(words.alarm.format(title=own.title)))
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", PRODUCT)
    calendar.add("CALSCALE", "GREGORIAN")
    calendar.add("METHOD", method)
    calendar.add_component(event)
    return bytes(calendar.to_ical(sorted=False))


def published(calendar: bytes) -> bytes:
    """The same version of an entry as PUBLISH (RFC 5546, 3.2.1), which asks for no reply: without its attendee."""
    return _METHOD.sub(b"METHOD:PUBLISH\r\n", _ATTENDEE.sub(b"", calendar), count=1)


# A property begins a line; the lines that continue it begin with a blank (RFC 5545, 3.1).
_ATTENDEE = re.compile(rb"(?m)^ATTENDEE[;:][^\n]*\n(?:[ \t][^\n]*\n)*")
_METHOD = re.compile(rb"(?m)^METHOD:[A-Z]{1,20}\r\n")


def _description(webinar: Webinar, language: str, join_url: str) -> str:
    """The entry's text, with the link first: some clients show only the beginning."""
    words, own = phrases(language), webinar.words(language)
    place = clock_time(webinar.start, webinar.end, webinar.tz, language, webinar.place)
    joining = f"{words.join_here} {join_url}" if join_url else words.no_link_yet
    return "\n\n".join([joining, own.how_to_join, str(place), own.about])


def _organizer(sender: Mailbox) -> vCalAddress:
    organizer = vCalAddress(mailto_address(sender.address))
    if name := clean_name(sender.name):
        organizer.params["CN"] = vText(name)
    return organizer


def _attendee(name: str, address: str) -> vCalAddress:
    """The attendee with the parameters that Gmail needs for its buttons. The address is that of the mail's To, its
    domain in A-labels: percent-encoded it would be another one (RFC 5546, 3.2)."""
    attendee = vCalAddress(mailto_address(wire_address(_printable(address))))
    shown = clean_name(name) or _printable(address)
    parameters = {
        "CUTYPE": "INDIVIDUAL",
        "ROLE": "REQ-PARTICIPANT",
        "PARTSTAT": "NEEDS-ACTION",
        "RSVP": "TRUE",
        "CN": shown,
        "X-NUM-GUESTS": "0",
    }
    for key, value in parameters.items():  # icalendar quotes (RFC 5545, 3.2) and escapes (RFC 6868) them
        attendee.params[key] = vText(value)
    return attendee


def _conference(join_url: str, label: str) -> Any:
    conference = _uri(join_url)
    conference.params.update({"VALUE": "URI", "FEATURE": "VIDEO", "LABEL": clean_name(label)})
    return conference


def _alarm(description: str) -> Alarm:
    alarm = Alarm()
    alarm.add("ACTION", "DISPLAY")
    alarm.add("TRIGGER", ALARM, encode=False)
    alarm.add("DESCRIPTION", description)
    return alarm


def _uri(address: str) -> Any:
    return vUri(_printable(address))


def _printable(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("a control character in a link or an address")
    return value


def _utc(moment: datetime) -> datetime:
    """UTC in whole seconds, with the object `UTC` itself: icalendar writes any other zone as floating or by name."""
    return moment.astimezone(UTC).replace(microsecond=0)
