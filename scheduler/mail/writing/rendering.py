"""One claimed delivery becomes a mail, or a reason to hold it. Pure: it reads no clock and no database."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

import pytz

from scheduler.ledger.entries import Claimed, Start, Version
from scheduler.mail.texts import CurrentText
from scheduler.mail.words.variables import Facts
from scheduler.mail.writing.composing import CalendarAs, Method, compose
from scheduler.mail.writing.invitation import invitation
from scheduler.webinar.model import CANCELLATION, NOTICES, Webinar
from scheduler.webinar.told import Told, facts_of


class Written(NamedTuple):
    """A mail in bytes."""

    content: bytes
    plain_lines: bool = False
    """Each is known to end in CRLF and not to begin with a dot: nobody needs to look."""


@dataclass(frozen=True)
class RenderedMail:
    """A mail as it goes on the wire, and what the ledger must hold before it does."""

    written: Written
    start: Start

    @property
    def content(self) -> bytes:
        return self.written.content


@dataclass(frozen=True)
class Sheet:
    """What one mail says, decided but not yet written."""

    facts: Facts
    live: CurrentText
    to: str
    message_id: str
    thread: str
    """The id, in angle brackets, that all mails of this registration refer to, so that they stand together."""
    message: str
    method: Method
    calendar_as: CalendarAs
    calendar: bytes | None
    """The invitation; None where `calendar_as` is "none"."""

    @property
    def logo(self) -> tuple[str, bytes] | None:
        """The picture to embed: the name of its file, and what is in it."""
        name = self.facts.webinar.logo
        found = self.live.text.images.get(name)
        return (name, found) if found else None

    @property
    def feedback_id(self) -> str:
        """By what Gmail's Postmaster Tools count complaints: message, webinar, language, sender; nobody's own."""
        return f"{self.message}:{self.facts.webinar.id}:{self.live.language}:webinars"


def write(sheet: Sheet) -> Written:
    """The mail by the book: by Jinja2 and EmailMessage. What `stencil` makes is measured against it."""
    webinar = sheet.facts.webinar
    mail = compose(
        rendered=sheet.live.text.render(sheet.facts),
        language=sheet.live.language,
        sender=webinar.sender_in(sheet.live.language),
        reply_to=webinar.reply_to_in(sheet.live.language),
        to=sheet.to,
        logo=sheet.logo,
        message_id=sheet.message_id,
        date=sheet.facts.now,
        thread=sheet.thread,
        feedback_id=sheet.feedback_id,
        calendar=sheet.calendar,
        calendar_as=sheet.calendar_as,
        method=sheet.method,
    )
    return Written(mail)


def render(
    claimed: Claimed,
    webinar: Webinar,
    live: CurrentText,
    last: Version | None,
    now: datetime,
    relay: str,
    write: Callable[[Sheet], Written] = write,
    write_invitation: Callable[..., bytes] = invitation,
    *,
    told: Told | None = None,
) -> RenderedMail:
    """The mail for one attempt at `now`. `last` is the newest stored version of this person's invitation, `told` what
    they were last told of the webinar.

    `write` and `write_invitation` put into bytes what is decided here. Raises whatever a text or a value makes
    raise: the delivery is then held, alone.
    """
    join_url = claimed.join_url or webinar.join_url
    method: Method = "CANCEL" if claimed.message == CANCELLATION else "REQUEST"
    calendar_as = _calendar_as(webinar, claimed.message, invited=last is not None)
    facts = Facts(
        webinar=webinar,
        name=claimed.name,
        zone=pytz.timezone(claimed.zone),
        zone_assumed=claimed.zone_known_by in ("assumed", "webinar"),
        now=now,
        join_url=join_url,
        invitation_attached=calendar_as != "none",
        told=told,
    )
    version = None
    if calendar_as != "none":
        version = _version(claimed, webinar, live.language, join_url, method, last, now, write_invitation)
    message_id = claimed.message_id or f"<{secrets.token_hex(16)}@{webinar.sender.domain}>"
    calendar = version.calendar if version else None
    thread = f"<registration.{claimed.uid}>"
    written = write(
        Sheet(
            facts=facts,
            live=live,
            to=claimed.address,
            message_id=message_id,
            thread=thread,
            message=claimed.message,
            method=method,
            calendar_as=calendar_as,
            calendar=calendar,
        )
    )
    says = facts_of(webinar, join_url)
    start = Start(claimed, message_id, relay, live.language, live.revision, now, says, version)
    return RenderedMail(written, start)


def _calendar_as(webinar: Webinar, message: str, *, invited: bool) -> CalendarAs:
    """Notices carry the update whatever the sequence says, unless nobody has an entry: no message of the webinar brings
    one, and this person never was `invited`."""
    by_id = {one.id: one.invitation for one in webinar.messages}
    if message not in NOTICES:
        return by_id.get(message, "none")  # the editor shows texts that no webinar sends yet
    return next((way for way in by_id.values() if way != "none"), "request" if invited else "none")


def _version(
    claimed: Claimed,
    webinar: Webinar,
    language: str,
    join_url: str,
    method: Method,
    last: Version | None,
    now: datetime,
    write_invitation: Callable[..., bytes],
) -> Version:
    """The version of the invitation that says what is true now: the last one again, or the next (RFC 5546, 2.1.4).

    A new version only for what concerns the reader's calendar (time, place, link, status), so that a retry,
    a reminder or a corrected typo sends the same bytes."""
    facts = (webinar.start, webinar.end, join_url, webinar.cancelled, method, claimed.address)
    says = sha256(repr(facts).encode()).hexdigest()
    if last and last.says == says and last.registration_id in (None, claimed.registration_id):
        return last  # another registration: the person came back, and gets the entry again
    sequence = last.sequence + 1 if last else 0
    dtstamp = max(now, last.dtstamp) if last else now
    calendar = write_invitation(
        uid=claimed.uid,
        sequence=sequence,
        dtstamp=dtstamp,
        created=claimed.first_seen_at,
        webinar=webinar,
        language=language,
        join_url=join_url,
        name=claimed.name,
        address=claimed.address,
        method=method,
    )
    return Version(claimed.uid, sequence, method, dtstamp, says, calendar)
