"""Renders a claimed delivery as a mail, or raises a reason to hold it. Pure: reads no clock and no database."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple, Protocol

import pytz

from scheduler.ledger.entries import Claimed, Start, Version
from scheduler.mail.text.templates import Rendered
from scheduler.mail.texts import CurrentText
from scheduler.mail.words.variables import Facts
from scheduler.mail.writing.composing import CalendarAs, Method, compose
from scheduler.mail.writing.invitation import invitation
from scheduler.webinar.links import page_of, told_link
from scheduler.webinar.model import CANCELLATION, NOTICES, WITHDRAWAL, Webinar
from scheduler.webinar.told import Told, facts_of


class Written(NamedTuple):
    """A mail in bytes."""

    content: bytes
    plain_lines: bool = False
    """Every line is known to end in CRLF and not to begin with a dot, so dot-stuffing can be skipped."""


@dataclass(frozen=True)
class RenderedMail:
    """A mail as it goes on the wire, and what the ledger must record before that."""

    written: Written
    start: Start

    @property
    def content(self) -> bytes:
        return self.written.content


@dataclass(frozen=True)
class Sheet:
    """The content of one mail, decided but not yet written."""

    facts: Facts
    current: CurrentText
    to: str
    message_id: str
    thread: str
    """The id, in angle brackets, to which all mails of this registration refer: programs show them as one thread."""
    message: str
    method: Method
    calendar_as: CalendarAs
    calendar: bytes | None
    """The invitation; None if `calendar_as` is "none"."""

    @property
    def logo(self) -> tuple[str, bytes] | None:
        """The picture to embed: its file name and content; None if there is none."""
        name = self.facts.webinar.logo
        found = self.current.text.images.get(name)
        return (name, found) if found else None

    @property
    def one_click(self) -> bool:
        """Whether the mail has the headers with which mail programs unsubscribe its reader (RFC 8058). Confirmations
        and notices are not what people unsubscribe from."""
        return self._is_of_a_series and self.facts.page_url.startswith("https://")

    @property
    def _is_of_a_series(self) -> bool:
        kinds = {one.id: one.kind for one in self.facts.webinar.messages}
        return self.message not in NOTICES and kinds.get(self.message) != "confirmation"

    def unsubscribe_links(self, words: Rendered) -> tuple[str, ...]:
        """The links of List-Unsubscribe. Without pages, writing to the organizers is the only way, so every mail has
        it."""
        if self.one_click:
            return (words.stop_url, words.stop_mailto)
        return (words.stop_mailto,) if self._is_of_a_series or not self.facts.page_url else ()

    @property
    def feedback_id(self) -> str:
        """Gmail's Postmaster Tools count complaints by it: message, webinar, language, sender; no personal value."""
        return f"{self.message}:{self.facts.webinar.id}:{self.current.language}:webinars"


def write(sheet: Sheet) -> Written:
    """Write the mail the plain way, by Jinja2 and EmailMessage: the reference for `stencil`."""
    webinar, words = sheet.facts.webinar, sheet.current.text.render(sheet.facts)
    mail = compose(
        rendered=words,
        language=sheet.current.language,
        sender=webinar.sender_in(sheet.current.language),
        reply_to=webinar.reply_to_in(sheet.current.language),
        to=sheet.to,
        logo=sheet.logo,
        message_id=sheet.message_id,
        date=sheet.facts.now,
        thread=sheet.thread,
        feedback_id=sheet.feedback_id,
        unsubscribe=sheet.unsubscribe_links(words),
        one_click=sheet.one_click,
        calendar=sheet.calendar,
        calendar_as=sheet.calendar_as,
        method=sheet.method,
    )
    return Written(mail)


def render(
    claimed: Claimed,
    webinar: Webinar,
    current: CurrentText,
    last: Version | None,
    now: datetime,
    relay: str,
    write: Callable[[Sheet], Written] = write,
    write_invitation: Callable[..., bytes] = invitation,
    *,
    told: Told | None = None,
    pages_url: str = "",
) -> RenderedMail:
    """The mail for one attempt at `now`.

    `last`: the newest stored version of this person's invitation; `told`: the facts in their last mail; `pages_url`:
    where registrants reach their pages, or "". `write` and `write_invitation` turn the decided content into bytes.
    Raises whatever a text or a value raises; only this delivery is then held.
    """
    join_url = told_link(webinar, claimed.join_url, claimed.key, pages_url)
    method: Method = "CANCEL" if claimed.message in (CANCELLATION, WITHDRAWAL) else "REQUEST"
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
        page_url=page_of(claimed.key, pages_url),
        withdrawn=claimed.message == WITHDRAWAL,
    )
    version = None
    if calendar_as != "none":
        version = version_for(
            claimed, webinar, current.language, join_url, method, last, now, write_invitation
        )
    message_id = claimed.message_id or f"<{secrets.token_hex(16)}@{webinar.sender.domain}>"
    calendar = version.calendar if version else None
    thread = f"<registration.{claimed.uid}>"
    written = write(
        Sheet(
            facts=facts,
            current=current,
            to=claimed.address,
            message_id=message_id,
            thread=thread,
            message=claimed.message,
            method=method,
            calendar_as=calendar_as,
            calendar=calendar,
        )
    )
    says = facts_of(webinar, join_url, withdrawn=facts.withdrawn)
    start = Start(claimed, message_id, relay, current.language, current.revision, now, says, version)
    return RenderedMail(written, start)


def _calendar_as(webinar: Webinar, message: str, *, invited: bool) -> CalendarAs:
    """How the mail carries the invitation. A notice carries the update whatever the sequence says, unless nobody
    has an entry: no message of the webinar has an invitation, and this person was never `invited`."""
    by_id = {one.id: one.invitation for one in webinar.messages}
    if message not in NOTICES:
        return by_id.get(message, "none")  # in the editor, also a text that no webinar sends yet
    return next((way for way in by_id.values() if way != "none"), "request" if invited else "none")


class Invited(Protocol):
    """Whose invitation is written: a claimed delivery has it, and whoever asks for their calendar entry."""

    @property
    def uid(self) -> str: ...
    @property
    def registration_id(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def first_seen_at(self) -> datetime: ...


def version_for(
    person: Invited,
    webinar: Webinar,
    language: str,
    join_url: str,
    method: Method,
    last: Version | None,
    now: datetime,
    write_invitation: Callable[..., bytes] = invitation,
) -> Version:
    """The version of the invitation with the current facts: the last one again, or the next (RFC 5546, 2.1.4).

    Only changes to the reader's calendar (time, place, link, status) make a new version, so that a retry, a reminder
    or a corrected typo sends the same bytes.
    """
    facts = (webinar.start, webinar.end, join_url, webinar.cancelled, method, person.address)
    says = sha256(repr(facts).encode()).hexdigest()
    if last and last.says == says and last.registration_id in (None, person.registration_id):
        return last  # with another registration the person came back, and needs the entry again
    sequence = last.sequence + 1 if last else 0
    dtstamp = max(now, last.dtstamp) if last else now
    calendar = write_invitation(
        uid=person.uid,
        sequence=sequence,
        dtstamp=dtstamp,
        created=person.first_seen_at,
        webinar=webinar,
        language=language,
        join_url=join_url,
        name=person.name,
        address=person.address,
        method=method,
    )
    return Version(person.uid, sequence, method, dtstamp, says, calendar)
