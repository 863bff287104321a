"""Time zones: wall time to UTC and back, and the zone of a registrant. Pure.

One tz database for everything: pytz's. Zones are handed on as objects of pytz, never as names to something
that would look them up in another database, and never as `datetime(..., tzinfo=zone)`, which is Geneva's
local mean time of 1894 (+00:34).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytz

from scheduler.zones.countries import country_code, country_zones
from scheduler.zones.names import (
    UnknownZone,
    Zone,
    registrant_zone,
    utc_offset,
    webinar_zone,
    zone_at_offset,
    zone_place,
)

__all__ = [
    "AmbiguousTime",
    "BeyondTheRules",
    "NonexistentTime",
    "UnknownZone",
    "WallTimeError",
    "Zone",
    "ZoneEvidence",
    "computed_to_utc",
    "registrant_zone",
    "to_local",
    "to_utc",
    "tz_version",
    "webinar_zone",
    "zone_of",
    "zone_place",
]

LAST_YEAR = 2037  # pytz has no rule after it: Zurich in July 2040 would be UTC+1

KnownBy = Literal["confirmed", "timezone", "country", "assumed", "webinar"]


def tz_version() -> str:
    """The version of the tz database that everything is computed with, as in "2026f"."""
    return str(vars(pytz)["OLSON_VERSION"])  # which the stubs don't know


class WallTimeError(ValueError):
    """A wall time that a person wrote and that does not mean one instant."""


class NonexistentTime(WallTimeError):
    """A wall time that clocks skip; `readings` are the instants (UTC) by the offsets before and after."""

    def __init__(self, wall: datetime, zone: Zone, readings: tuple[datetime, datetime]) -> None:
        self.readings = readings
        super().__init__(f"{wall:%Y-%m-%d %H:%M} does not exist in {zone}, as clocks are put forward then: "
                         f"write {_spell(readings[0], zone)} or {_spell(readings[1], zone)}")  # fmt: skip


class AmbiguousTime(WallTimeError):
    """A wall time that clocks show twice; `readings` are the two instants (UTC), the first one first."""

    def __init__(self, wall: datetime, zone: Zone, readings: tuple[datetime, datetime]) -> None:
        self.readings = readings
        super().__init__(f"{wall:%Y-%m-%d %H:%M} happens twice in {zone}, as clocks are put back then: "
                         f"{_spell(readings[0], zone)} and {_spell(readings[1], zone)}")  # fmt: skip


class BeyondTheRules(WallTimeError):
    """A wall time after 2037, for which pytz knows no rule of summer time."""


def to_utc(wall: datetime, zone: Zone) -> datetime:
    """The instant (UTC) of a wall time (naive) that a person wrote; strict, never a guess.

    Raises NonexistentTime in a gap, AmbiguousTime when clocks show it twice, BeyondTheRules after 2037.
    """
    if wall.year > LAST_YEAR:
        raise BeyondTheRules(f"{wall:%Y-%m-%d}: the rules of time zones are known up to {LAST_YEAR} only")
    instants = _instants(wall, zone)
    if len(instants) == 1:
        return instants[0]
    if instants:
        raise AmbiguousTime(wall, zone, (instants[0], instants[1]))
    before, after = (_at_offset(wall, offset) for offset in _offsets_around(wall, zone))
    raise NonexistentTime(wall, zone, (before, after))


def computed_to_utc(wall: datetime, zone: Zone) -> datetime:
    """The instant (UTC) of a wall time (naive) that we computed; never fails.

    In a gap it is read with the offset before the gap, when doubled it is the first (RFC 5545, 3.3.5).
    """
    instants = _instants(wall, zone)
    return instants[0] if instants else _at_offset(wall, _offsets_around(wall, zone)[0])


def to_local(instant: datetime, zone: Zone) -> datetime:
    """An instant (aware) as the clocks of a zone show it (aware). TypeError for a naive one, which Python
    would read as the time of the machine's own zone."""
    if instant.tzinfo is None:
        raise TypeError("an instant must be aware")
    return instant.astimezone(zone)


@dataclass(frozen=True)
class ZoneEvidence:
    """A registrant's zone (IANA name), how it is known, and what could not be used (no personal data).

    "assumed": one of several that agree with what we know, chosen by population.
    """

    zone: str
    known_by: KnownBy
    problem: str = ""


def zone_of(
    timezone: str | None, country: str | None, fallback: Zone, at: datetime, confirmed: str | None = None
) -> ZoneEvidence:
    """The zone of a registrant by the best evidence there is: what they confirmed, their time zone, the only
    zone of their country, an assumption among several, else `fallback`, the webinar's.

    `at` is the webinar's start: zones of a country that show the same time then count as one. Never raises:
    what cannot be used is named in `problem`, and the next evidence counts.
    """
    problems: list[str] = []
    zones = _zones_of_country(country, problems)
    named: tuple[tuple[str | None, KnownBy], ...] = ((confirmed, "confirmed"), (timezone, "timezone"))
    for name, known_by in named:
        if not name or not name.strip():
            continue
        if found := _by_reading(name, zones, at):
            return _choice(found, known_by, at, problems)
        try:
            return _choice((str(registrant_zone(name)),), known_by, at, problems)
        except UnknownZone as unusable:
            problems.append(f"time zone: {unusable}")
            offset = utc_offset(name)
            if not zones and offset is not None and (at_offset := zone_at_offset(offset)):
                return ZoneEvidence(at_offset, "assumed", "; ".join(problems))
    if zones:
        return _choice(zones, "country", at, problems)
    return ZoneEvidence(str(fallback), "webinar", "; ".join(problems))


def _zones_of_country(country: str | None, problems: list[str]) -> tuple[str, ...]:
    if not country or not country.strip():
        return ()
    if code := country_code(country):
        return country_zones(code)
    problems.append("country: neither a code (ISO 3166) nor the name of a country")
    return ()


def _choice(zones: tuple[str, ...], known_by: KnownBy, at: datetime, problems: list[str]) -> ZoneEvidence:
    """The first of some zones: known if all agree at that moment, else assumed."""
    agree = len({_offset(zone, at) for zone in zones}) == 1
    return ZoneEvidence(zones[0], known_by if agree else "assumed", "; ".join(problems))


def _by_reading(name: str, zones: tuple[str, ...], at: datetime) -> tuple[str, ...]:
    """The zones of a country for which an abbreviation or an offset is right: India's for IST, New York's for
    EST and for UTC-5 in the USA. Lists of offsets give winter's, so that counts before the one of the day."""
    abbreviation, offset = name.strip().upper(), utc_offset(name)
    seasons = (at - timedelta(days=182), at, at + timedelta(days=182))
    tests: tuple[Callable[[str], bool], ...] = (
        lambda zone: any(_local(zone, then).tzname() == abbreviation for then in seasons),
        lambda zone: min(_offset(zone, then) for then in seasons) == offset,
        lambda zone: _offset(zone, at) == offset,
    )
    matches = (tuple(zone for zone in zones if test(zone)) for test in tests)
    return next((found for found in matches if found), ())


def _local(zone: str, instant: datetime) -> datetime:
    return to_local(instant, pytz.timezone(zone))


def _offset(zone: str, instant: datetime) -> timedelta:
    return _local(zone, instant).utcoffset() or timedelta(0)


def _offsets_around(wall: datetime, zone: Zone) -> tuple[timedelta, timedelta]:
    """The offsets in force a day before and a day after a wall time. Not pytz's `is_dst`: that is an hour off
    where summer time is "negative" (Dublin) or not an hour (Casablanca)."""
    if wall.tzinfo is not None:
        raise TypeError("a wall time must be naive")
    about = wall.replace(tzinfo=UTC)
    before, after = (to_local(about + timedelta(days=day), zone).utcoffset() for day in (-1, 1))
    return before or timedelta(0), after or timedelta(0)


def _at_offset(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _instants(wall: datetime, zone: Zone) -> list[datetime]:
    """The instants at which clocks show a wall time: none in a gap, two when doubled, the first one first."""
    candidates = {_at_offset(wall, offset) for offset in _offsets_around(wall, zone)}
    return sorted(c for c in candidates if to_local(c, zone).replace(tzinfo=None) == wall)


def _spell(instant: datetime, zone: Zone) -> str:
    local = to_local(instant, zone)
    offset = f"{local:%z}"
    return f"{local:%H:%M} (UTC{offset[:3]}:{offset[3:]}, {instant:%H:%M} UTC)"
