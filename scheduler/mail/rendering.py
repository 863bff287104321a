"""One claimed delivery becomes a mail, or a reason to hold it. Pure: it reads no clock and no database."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import pytz

from scheduler.ledger.claims import Claimed
from scheduler.ledger.outcomes import Start, Version
from scheduler.mail.composing import CalendarAs, Method, compose
from scheduler.mail.facts import Facts
from scheduler.mail.invitation import invitation
from scheduler.texts import LiveText
from scheduler.webinar import CANCELLATION, NOTICES, Webinar


@dataclass(frozen=True)
class Ready:
    """A mail as it goes on the wire, and what the ledger must hold before it does."""

    content: bytes
    start: Start


def render(
    claimed: Claimed, webinar: Webinar, live: LiveText, last: Version | None, now: datetime, relay: str
) -> Ready:
    """The mail for one attempt at `now`. `last` is the newest stored version of this person's invitation.

    Raises whatever a text or a value makes raise: the delivery is then held, alone.
    """
    join_url = claimed.join_url or webinar.join_url
    method: Method = "CANCEL" if claimed.message == CANCELLATION else "REQUEST"
    calendar_as = _calendar_as(webinar, claimed.message)
    facts = Facts(
        webinar=webinar,
        name=claimed.name,
        zone=pytz.timezone(claimed.zone),
        zone_assumed=claimed.zone_known_by in ("assumed", "webinar"),
        now=now,
        join_url=join_url,
        invitation_attached=calendar_as != "none",
    )
    rendered = live.text.render(facts)
    version = None
    if calendar_as != "none":
        version = _version(claimed, webinar, live.language, join_url, method, last, now)
    message_id = claimed.message_id or f"<{secrets.token_hex(16)}@{webinar.sender.domain}>"
    content = compose(
        rendered=rendered,
        language=live.language,
        sender=webinar.sender,
        reply_to=webinar.reply_to,
        to=claimed.address,
        message_id=message_id,
        date=now,
        calendar=version.calendar if version else None,
        calendar_as=calendar_as,
        method=method,
    )
    start = Start(claimed, message_id, relay, live.language, live.revision, now, version)
    return Ready(content, start)


def _calendar_as(webinar: Webinar, message: str) -> CalendarAs:
    """Notices carry the update whatever the sequence says, unless no message of the webinar has an entry."""
    by_id = {one.id: one.invitation for one in webinar.messages}
    if message not in NOTICES:
        return by_id[message]
    return next((way for way in by_id.values() if way != "none"), "none")


def _version(
    claimed: Claimed,
    webinar: Webinar,
    language: str,
    join_url: str,
    method: Method,
    last: Version | None,
    now: datetime,
) -> Version:
    """The version of the invitation that says what is true now: the last one again, or the next (RFC 5546, 2.1.4).

    A new version only for what concerns the reader's calendar (time, place, link, status), so that a retry,
    a reminder or a corrected typo sends the same bytes."""
    facts = (webinar.start, webinar.end, join_url, webinar.cancelled, method, claimed.address)
    says = sha256(repr(facts).encode()).hexdigest()
    if last and last.says == says:
        return last
    sequence = last.sequence + 1 if last else 0
    dtstamp = max(now, last.dtstamp) if last else now
    calendar = invitation(
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
