"""A webinar's whole timeline by message and zone, before anybody has registered. Pure.

The instants are those that the planner would store, and the reasons are the ledger's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytz

from scheduler.ledger.states import State, Why
from scheduler.mail.words.wording import city_name, offset_text
from scheduler.webinar.model import Message, Webinar
from scheduler.webinar.timing import Timing, timings
from scheduler.zones.wall import Zone, to_local

# A dozen that show what can happen: both ends of the calendar day, half and quarter hours, no summer time, summer
# time of either hemisphere. From west to east.
TELLING_ZONES = (
    "Pacific/Pago_Pago",
    "America/Los_Angeles",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Africa/Lagos",
    "Africa/Nairobi",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)


@dataclass(frozen=True)
class Entry:
    """One message for the people of one zone. Instants are UTC; what is `local` is aware, in the zone.

    `due_at` None: at once on registration, whenever that is. `date_shift`: the days by which the date of the start
    differs there from the webinar's own.
    """

    webinar: str
    message: str
    zone: str
    due_at: datetime | None
    expires_at: datetime
    due_local: datetime | None
    start_local: datetime
    end_local: datetime
    date_shift: int
    state: State
    reason: str

    @property
    def utc_offset(self) -> str:
        """The zone's offset at the webinar's start: "+02:00"."""
        return self.start_local.isoformat()[-6:]

    def as_json(self) -> dict[str, Any]:
        return {
            "webinar": self.webinar,
            "message": self.message,
            "zone": self.zone,
            "due_at": _utc(self.due_at) if self.due_at else None,
            "expires_at": _utc(self.expires_at),
            "due_local": _wall(self.due_local) if self.due_local else None,
            "start_local": _wall(self.start_local),
            "end_local": _wall(self.end_local),
            "utc_offset": self.utc_offset,
            "date_shift": self.date_shift,
            "state": str(self.state),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Clock:
    """The zones whose clocks show the same, from the webinar's first message to its last."""

    zones: tuple[str, ...]
    cities: tuple[str, ...]
    """Their names as people say them; those of most people first."""
    people: int | None
    """The number of registrants there; None where it is not known."""
    entries: tuple[Entry, ...]
    """The entries of one of the zones."""

    @property
    def offset(self) -> str:
        """The offset at the webinar's start: "UTC+5:45"."""
        return offset_text(_offset(self.entries[0]))

    @property
    def starts(self) -> str:
        """When the webinar is there: "Thu 3 Jul 13:00–15:00", "Thu 3 Jul 23:45 – Fri 01:45"."""
        start, end = self.entries[0].start_local, self.entries[0].end_local
        begins = f"{start:%a} {start.day} {start:%b %H:%M}"
        if end.date() == start.date():
            return f"{begins}–{end:%H:%M}"
        whole_days = end - start >= timedelta(days=1)
        return f"{begins} – {end.day} {end:%b}" if whole_days else f"{begins} – {end:%a} {end:%H:%M}"

    @property
    def how_many(self) -> str:
        """ "12 people"; "" where it is not known."""
        return "" if self.people is None else f"{self.people:,} {'person' if self.people == 1 else 'people'}"

    def names_within(self, characters: int) -> str:
        """The first cities that fit, and the number of the others: "Nairobi, Cairo +2"."""
        shown = self.cities[0]
        for number, city in enumerate(self.cities[1:], 1):
            left = len(self.cities) - number - 1
            if len(shown) + len(city) + (2 if left == 0 else 5) > characters:
                return f"{shown} +{left + 1}"
            shown = f"{shown}, {city}"
        return shown


def clocks(webinar: Webinar, entries: Iterable[Entry], people: Mapping[str, int]) -> list[Clock]:
    """The clocks of a timeline, those whose day begins first on top. `people`: the number of registrants by zone; with
    none, nobody is counted."""
    by_zone: dict[str, list[Entry]] = {}
    for entry in entries:
        by_zone.setdefault(entry.zone, []).append(entry)
    alike: dict[object, list[str]] = {}
    for zone in sorted(by_zone, key=lambda zone: (zone != str(webinar.tz), -people.get(zone, 0), zone)):
        shown = [(one.due_local and _wall(one.due_local), one.reason) for one in by_zone[zone]]
        alike.setdefault((_wall(by_zone[zone][0].start_local), tuple(shown)), []).append(zone)
    found = [
        Clock(
            tuple(zones),
            tuple(dict.fromkeys(_city(webinar, zone) for zone in zones)),
            sum(people.get(zone, 0) for zone in zones) if people else None,
            tuple(by_zone[zones[0]]),
        )
        for zones in alike.values()
    ]
    own = str(webinar.tz)
    return sorted(found, key=lambda one: (-_offset(one.entries[0]), own not in one.zones, one.cities))


def _offset(entry: Entry) -> timedelta:
    return entry.start_local.utcoffset() or timedelta(0)


def _city(webinar: Webinar, zone: str) -> str:
    if zone == str(webinar.tz) and webinar.place:
        return webinar.place
    return city_name(pytz.timezone(zone), "en") or zone


def timeline(webinar: Webinar, zones: Iterable[Zone], registered_at: datetime | None = None) -> list[Entry]:
    """Every message of the webinar for people in these zones: messages in the order of the sequence, zones as given.

    `registered_at` is the instant at which the service first sees somebody; what is past by then is skipped.
    Without it, nothing is past.
    """
    by_zone = {zone: timings(webinar, zone) for zone in zones}
    return [
        _entry(webinar, zone, found[index], registered_at)
        for index in range(len(webinar.messages))
        for zone, found in by_zone.items()
    ]


def default_zones(webinar: Webinar) -> list[Zone]:
    """The webinar's own zone, then a dozen around the world."""
    return list(dict.fromkeys((webinar.tz, *map(pytz.timezone, TELLING_ZONES))))


def _entry(webinar: Webinar, zone: Zone, timing: Timing, registered_at: datetime | None) -> Entry:
    due_at = timing.due_at or registered_at
    start_local = to_local(webinar.start, zone)
    reason = _why_not(webinar, timing, registered_at)
    return Entry(
        webinar=webinar.id,
        message=timing.message,
        zone=str(zone),
        due_at=due_at,
        expires_at=timing.expires_at,
        due_local=to_local(due_at, zone) if due_at else None,
        start_local=start_local,
        end_local=to_local(webinar.end, zone),
        date_shift=(start_local.date() - webinar.start_wall.date()).days,
        state=State.SKIPPED if reason else State.PENDING,
        reason=reason,
    )


def _why_not(webinar: Webinar, timing: Timing, registered_at: datetime | None) -> str:
    """Why the planner would skip this delivery, or ""; checked in the planner's order."""
    if webinar.cancelled:
        return Why.WEBINAR_CANCELLED
    if timing.never:
        return timing.never
    if registered_at and timing.expires_at <= registered_at:
        return Why.USELESS_WHEN_PLANNED
    if registered_at and timing.due_at and timing.due_at < registered_at:
        return Why.DUE_BEFORE_PLANNED
    return ""


def message_name(message: Message) -> str:
    """A message as people say it: "Reminder, 1 day before at 09:00 on the reader’s clock"."""
    return f"{message.kind.capitalize()}, {rule_in_words(message)}"


def rule_in_words(message: Message) -> str:
    """When a message is due, in words: "1 day before at 09:00 on the reader's clock"."""
    if message.on_registration:
        return "at once, on registration"
    if message.before_start is not None:
        return f"{_duration(message.before_start)} before the start"
    if message.after_end is not None:
        return f"{_duration(message.after_end)} after the end" if message.after_end else "at the end"
    days, side = (
        (message.days_after, "after") if message.days_before is None else (message.days_before, "before")
    )
    on = f"{_count(days, 'day')} {side}" if days else "the same day"
    at = f" at {message.at.isoformat('seconds' if message.at.second else 'minutes')}" if message.at else ""
    return f"{on}{at} on the {'reader' if message.clock == 'registrant' else 'webinar'}’s clock"


def _duration(length: timedelta) -> str:
    """Never in days, which would be calendar days to most readers."""
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "hour"), (minutes, "minute"), (seconds, "second"))
    return " ".join(_count(number, unit) for number, unit in parts if number) or "0 minutes"


def _count(number: int | None, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _wall(local: datetime) -> str:
    """Without the offset; seconds only where there are any."""
    return local.replace(tzinfo=None).isoformat(timespec="seconds" if local.second else "minutes")
