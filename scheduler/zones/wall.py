"""Conversion of wall time to UTC and back. Pure.

pytz's tz database is used for everything. Zones are passed as pytz objects, never as names that others would look up in
another database, and never as `datetime(..., tzinfo=zone)`, which is Geneva's local mean time of 1894 (+00:34).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytz
from babel import __version__ as cldr_version

from scheduler.zones.evidence import ResolvedZone, zone_of
from scheduler.zones.names import UnknownZone, Zone, registrant_zone, webinar_zone, zone_place
from scheduler.zones.tables import VERSION

__all__ = [
    "AmbiguousTime",
    "BeyondTheRules",
    "NonexistentTime",
    "ResolvedZone",
    "UnknownZone",
    "WallTimeError",
    "Zone",
    "computed_to_utc",
    "knowledge_version",
    "registrant_zone",
    "to_local",
    "to_utc",
    "tz_version",
    "webinar_zone",
    "zone_of",
    "zone_place",
]

LAST_YEAR = 2037  # pytz has no rules after it: Zurich in July 2040 would be UTC+1


def tz_version() -> str:
    """The version of the tz database in use, as in "2026f"."""
    return str(vars(pytz)["OLSON_VERSION"])  # unknown to the stubs


def knowledge_version() -> str:
    """The version of all data by which zones are resolved: the tz database, our tables, CLDR (Babel). A newer version
    compares greater as text; zones resolved by another version are resolved again."""
    return f"{tz_version()}.{VERSION:03d}.{cldr_version}"


class WallTimeError(ValueError):
    """A wall time, written by a person, that is not exactly one instant."""


class NonexistentTime(WallTimeError):
    """A wall time that clocks skip. `readings`: the instants (UTC) by the offsets before and after the gap."""

    def __init__(self, wall: datetime, zone: Zone, readings: tuple[datetime, datetime]) -> None:
        self.readings = readings
        super().__init__(f"{wall:%Y-%m-%d %H:%M} does not exist in {zone}, as clocks are put forward then: "
                         f"write {_spell(readings[0], zone)} or {_spell(readings[1], zone)}")  # fmt: skip


class AmbiguousTime(WallTimeError):
    """A wall time that clocks show twice. `readings`: the two instants (UTC), the earlier one first."""

    def __init__(self, wall: datetime, zone: Zone, readings: tuple[datetime, datetime]) -> None:
        self.readings = readings
        super().__init__(f"{wall:%Y-%m-%d %H:%M} happens twice in {zone}, as clocks are put back then: "
                         f"{_spell(readings[0], zone)} and {_spell(readings[1], zone)}")  # fmt: skip


class BeyondTheRules(WallTimeError):
    """A wall time after 2037, for which pytz knows no rule of summer time."""


def to_utc(wall: datetime, zone: Zone) -> datetime:
    """The instant (UTC) of a naive wall time that a person wrote.

    Strict: raises NonexistentTime in a gap, AmbiguousTime if clocks show it twice, BeyondTheRules after 2037.
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
    """The instant (UTC) of a naive wall time that was computed. Never fails.

    In a gap the offset before the gap applies; of two instants the earlier one is returned (RFC 5545, 3.3.5).
    """
    instants = _instants(wall, zone)
    return instants[0] if instants else _at_offset(wall, _offsets_around(wall, zone)[0])


def to_local(instant: datetime, zone: Zone) -> datetime:
    """Convert an aware instant to an aware datetime in a zone. Raises TypeError for a naive one, which Python would
    take for the machine's local time."""
    if instant.tzinfo is None:
        raise TypeError("an instant must be aware")
    return instant.astimezone(zone)


def _offsets_around(wall: datetime, zone: Zone) -> tuple[timedelta, timedelta]:
    """The offsets in force a day before and a day after a wall time. pytz's `is_dst` would be an hour off where summer
    time is "negative" (Dublin) or differs by another amount (Casablanca)."""
    if wall.tzinfo is not None:
        raise TypeError("a wall time must be naive")
    about = wall.replace(tzinfo=UTC)
    before, after = (to_local(about + timedelta(days=day), zone).utcoffset() for day in (-1, 1))
    return before or timedelta(0), after or timedelta(0)


def _at_offset(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _instants(wall: datetime, zone: Zone) -> list[datetime]:
    """The instants at which clocks show a wall time, in order: none in a gap, two when clocks are put back."""
    candidates = {_at_offset(wall, offset) for offset in _offsets_around(wall, zone)}
    return sorted(c for c in candidates if to_local(c, zone).replace(tzinfo=None) == wall)


def _spell(instant: datetime, zone: Zone) -> str:
    local = to_local(instant, zone)
    offset = f"{local:%z}"
    return f"{local:%H:%M} (UTC{offset[:3]}:{offset[3:]}, {instant:%H:%M} UTC)"
