"""The registrants of a rehearsal and each one's messages in time, in the words that its inbox shows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import pytz

from scheduler.input.addresses import fold
from scheduler.mail.words.wording import language_name, offset_text
from scheduler.zones.wall import Zone, to_local

Delivery = Mapping[str, Any]

_KNOWN_BY = {
    "confirmed": "confirmed by the registrant",
    "timezone": "as registered",
    "country": "from the country",
    "assumed": "assumed: one of the country’s",
    "webinar": "not known; the webinar’s own",
}
_NEEDS_A_LOOK = ("failed", "held", "in_doubt", "expired")
_LATE = timedelta(minutes=1)


@dataclass(frozen=True)
class Moment:
    """An instant on one clock: "Wed 2 Jul 2025", "09:00", "UTC+2"."""

    day: str
    time: str
    offset: str

    def __str__(self) -> str:
        return f"{self.day}, {self.time} {self.offset}"


@dataclass(frozen=True)
class Item:
    """One entry of a timeline: a delivery, or a mail that belongs to none."""

    title: str
    mail: str  # the number of its .eml: "0007"; "" if there is none
    state: str = ""
    reason: str = ""
    local: Moment | None = None
    utc: Moment | None = None
    sent: str = ""  # when it left, if that was not when it was due
    to: str = ""


@dataclass
class Person:
    """A registrant, with all deliveries to them in time order."""

    name: str
    email: str
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def latest(self) -> Delivery:
        return self.deliveries[-1]

    @property
    def zone_name(self) -> str:
        return word(self.latest, "zone")

    @property
    def zone(self) -> Zone:
        return _zone(self.zone_name)

    @property
    def known_by(self) -> str:
        known_by = word(self.latest, "zone_known_by")
        return _KNOWN_BY.get(known_by, known_by)

    @property
    def is_assumed(self) -> bool:
        return word(self.latest, "zone_known_by") in ("assumed", "webinar")

    @property
    def language(self) -> str:
        """ "French", or "French wanted, English text"."""
        text = word(self.latest, "text_language")
        if not text or _language(text) == self.wanted:
            return self.wanted
        return f"{self.wanted} wanted, {_language(text)} text"

    @property
    def wanted(self) -> str:
        return _language(word(self.latest, "language"))

    @property
    def starts(self) -> Moment | None:
        return moment(self.latest.get("start_local"))

    @property
    def mails(self) -> int:
        return sum(1 for delivery in self.deliveries if delivery.get("eml"))

    @property
    def states(self) -> list[str]:
        return sorted({word(delivery, "state") for delivery in self.deliveries})

    @property
    def needs_a_look(self) -> list[str]:
        """The states among theirs that need attention."""
        return [state for state in _NEEDS_A_LOOK if state in self.states]


def people(deliveries: Iterable[Delivery]) -> list[Person]:
    """By name, then address. One address in one webinar is one person."""
    found: dict[tuple[str, str], Person] = {}
    for delivery in deliveries:
        email = word(delivery, "email")
        person = found.setdefault((word(delivery, "webinar"), fold(email)), Person("", email))
        person.name = word(delivery, "name") or person.name
        person.deliveries.append(delivery)
    for person in found.values():
        person.deliveries.sort(key=lambda delivery: word(delivery, "due_at") or word(delivery, "sent_at"))
    return sorted(found.values(), key=lambda person: ((person.name or person.email).casefold(), person.email))


def item(delivery: Delivery) -> Item:
    """The timeline's entry for a delivery."""
    due, sent = _instant(delivery.get("due_at")), _instant(delivery.get("sent_at"))
    return Item(
        title=message_title(word(delivery, "message"), delivery.get("edition") or 0),
        mail=mail_number(delivery),
        state=word(delivery, "state").replace("_", " "),
        reason=word(delivery, "reason"),
        local=moment(delivery.get("due_local")),
        utc=moment(delivery.get("due_at")),
        sent=str(left(delivery)) if sent and (due is None or sent - due >= _LATE) else "",
    )


@dataclass(frozen=True)
class Listed:
    """A delivery in the list of all mails."""

    at: str  # when it was due, UTC, ISO 8601
    home: Moment | None
    """When it left, or is due, on the organizer's clock; `reader`: on the reader's."""
    reader: Moment | None
    email: str
    name: str
    message: str
    language: str
    state: str
    reason: str
    mail: str


def listed(delivery: Delivery, home: Zone) -> Listed:
    """The list's entry for a delivery. `home`: the organizer's zone."""
    at = _instant(delivery.get("sent_at")) or _instant(delivery.get("due_at"))
    zone = _zone(word(delivery, "zone"))
    return Listed(
        at=word(delivery, "due_at"),
        home=moment(to_local(at, home).isoformat()) if at else None,
        reader=moment(to_local(at, zone).isoformat()) if at else None,
        email=word(delivery, "email"),
        name=word(delivery, "name"),
        message=message_title(word(delivery, "message")),
        language=_language(word(delivery, "text_language") or word(delivery, "language")),
        state=word(delivery, "state").replace("_", " "),
        reason=word(delivery, "reason"),
        mail=mail_number(delivery),
    )


def left(delivery: Delivery) -> Moment | None:
    """When the mail left, on the reader's clock."""
    sent = _instant(delivery.get("sent_at"))
    return moment(to_local(sent, _zone(word(delivery, "zone"))).isoformat()) if sent else None


def mail_number(delivery: Delivery) -> str:
    """ "0007" for "mails/0007.eml"."""
    return PurePosixPath(word(delivery, "eml")).stem


def message_title(message: str, edition: int = 0) -> str:
    """ "Reminder day", "Reminder day, edition 1"."""
    title = message.replace("-", " ").replace("_", " ")
    title = title[:1].upper() + title[1:]
    return f"{title}, edition {edition}" if edition else title


def counts(deliveries: Sequence[Delivery]) -> dict[str, Counter[str]]:
    """The number of deliveries by message and state; messages in the order in which they are due."""
    found: dict[str, Counter[str]] = {}
    earliest: dict[str, str] = {}
    for delivery in deliveries:
        title, due = message_title(word(delivery, "message")), word(delivery, "due_at")
        found.setdefault(title, Counter())[word(delivery, "state").replace("_", " ")] += 1
        earliest[title] = min(earliest.get(title, due), due)
    return {title: found[title] for title in sorted(found, key=lambda title: earliest[title])}


def common_start(deliveries: Iterable[Delivery]) -> Moment | None:
    """The start of the webinar in UTC, if all deliveries agree; None where there are several, or it was moved."""
    starts = {start.astimezone(UTC) for d in deliveries if (start := _instant(d.get("start_local")))}
    return moment(f"{starts.pop():%Y-%m-%dT%H:%M:%SZ}") if len(starts) == 1 else None


def moment(value: object) -> Moment | None:
    """The parts of an ISO 8601 time on the clock that it is written for; None for what isn't one."""
    when = _instant(value)
    if when is None:
        return None
    offset = when.utcoffset() or timedelta(0)
    return Moment(
        day=f"{when:%a} {when.day} {when:%b} {when.year}",
        time=f"{when:%H:%M:%S}" if when.second else f"{when:%H:%M}",
        offset=offset_text(offset) if offset or not str(value).endswith("Z") else "UTC",
    )


def word(delivery: Delivery, key: str) -> str:
    """A value of a delivery as text; "" for null or none."""
    value = delivery.get(key)
    return "" if value is None else str(value)


def _instant(value: object) -> datetime | None:
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _language(tag: str) -> str:
    return language_name(tag, "en") if tag else "No language"


def _zone(name: str) -> Zone:
    try:
        return pytz.timezone(name)
    except pytz.UnknownTimeZoneError:
        return pytz.utc
