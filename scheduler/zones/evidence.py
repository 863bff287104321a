"""Which zone is meant, by all that is known of somebody. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import pytz

from scheduler.zones.cldr import canonical
from scheduler.zones.countries import country_code, country_zones
from scheduler.zones.names import (
    NO_ZONE,
    OF_A_COUNTRY,
    OF_A_PLACE,
    OFFSET,
    SEVERAL,
    Meaning,
    UnknownZone,
    Zone,
    distinct,
    namesake,
    read,
)
from scheduler.zones.offsets import akin, ever, seasons, shown

KnownBy = Literal["confirmed", "timezone", "country", "assumed", "webinar"]
_HALF_A_YEAR = timedelta(days=182)


@dataclass(frozen=True)
class ResolvedZone:
    """A registrant's zone (IANA name), how it is known, and what could not be used (no personal data).

    "assumed": one of several that agree with what we know, chosen by population. `because`: why this one.
    """

    zone: str
    known_by: KnownBy
    problem: str = ""
    because: str = ""


@dataclass(frozen=True)
class _Country:
    """A country that somebody gave (`code`, or ""), and its zones, that of most people first."""

    code: str = ""
    zones: tuple[str, ...] = ()

    def agrees(self, at: datetime) -> bool:
        return len({shown(zone, at) for zone in self.zones}) == 1


def zone_of(
    timezone: str | None, country: str | None, fallback: Zone, at: datetime, confirmed: str | None = None
) -> ResolvedZone:
    """The zone of a registrant by the best evidence there is: what they confirmed, their time zone, the only
    zone of their country, an assumption among several, else `fallback`, the webinar's.

    `at` is the webinar's start: zones that show the same time then count as one. Never raises: what cannot be used,
    and what contradicts, is named in `problem`, and the better evidence counts.
    """
    problems: list[str] = []
    lives_in = _country(country, problems)
    named: tuple[tuple[str | None, KnownBy], ...] = ((confirmed, "confirmed"), (timezone, "timezone"))
    for name, known_by in named:
        if not name or not name.strip() or name.strip().upper() == lives_in.code:  # PT is Portugal, there
            continue
        if found := _by_name(name, known_by, lives_in, at, problems):
            return replace(found, problem="; ".join(problems))
    if lives_in.zones:
        found = _by_country(lives_in, at)
    else:
        found = ResolvedZone(
            str(fallback), "webinar", because="nothing else is known: the webinar's own zone"
        )
    return replace(found, problem="; ".join(problems))


def _country(text: str | None, problems: list[str]) -> _Country:
    if not text or not text.strip():
        return _Country()
    code = country_code(text)
    if code is None:
        problems.append("country: neither a code (ISO 3166) nor the name of a country")
        return _Country()
    if not country_zones(code):
        problems.append(f"country: nobody lives in {code}, so it has no time zone")
    return _Country(code, country_zones(code))


def _by_country(country: _Country, at: datetime) -> ResolvedZone:
    if len(country.zones) == 1:
        return ResolvedZone(country.zones[0], "country", because=f"the only zone of {country.code}")
    if country.agrees(at):
        because = f"all zones of {country.code} show the same time then"
        return ResolvedZone(country.zones[0], "country", because=because)
    because = f"most people in {country.code} live in it; other zones there show another time then"
    return ResolvedZone(country.zones[0], "assumed", because=because)


def _by_name(
    name: str, known_by: KnownBy, country: _Country, at: datetime, problems: list[str]
) -> ResolvedZone | None:
    """By what a text in a column of time zones says; None where that is nothing that can be used."""
    if zones := namesake(name, country.code):
        return _choice(zones, known_by, at, f"{OF_A_PLACE}, in {country.code}")
    try:
        meaning = read(name)
    except UnknownZone as unknown:
        problems.append(f"time zone: {unknown}")
        return _by_spelling(unknown.candidates, country)
    if meaning.kind == "fixed":
        return _by_offset(meaning, known_by, country, at, problems)
    if country.zones and (zones := _abbreviated(name, country, at)):
        return _choice(zones, known_by, at, f"{meaning.because} in {country.code}")
    zones = _at_the_offsets(meaning, at)
    if not zones and (meaning.city or meaning.kind == "several" or meaning.partly):
        problems.append("time zone: its name and its offset from UTC contradict each other")
        return None
    doubtful = not zones
    if doubtful:
        problems.append("time zone: its name and its offset from UTC contradict each other; the name counts")
    found = _chosen(replace(meaning, zones=zones or meaning.zones), known_by, country, at, problems)
    return replace(found, known_by="assumed") if found and doubtful else found


def _by_spelling(candidates: Iterable[str], country: _Country) -> ResolvedZone | None:
    """A zone of the country whose name is spelt alike, where something was written that is no name."""
    for candidate in candidates:
        for zone in sorted(country.zones, key=lambda zone: canonical(zone) != candidate):
            if akin(zone, candidate):
                return ResolvedZone(
                    zone, "assumed", because=f"a zone of {country.code} whose name is spelt alike"
                )
    return None


def _at_the_offsets(meaning: Meaning, at: datetime) -> tuple[str, ...]:
    """The zones that show the offsets that the name gives, in summer or winter; else those that once did. A clock has
    them where the zone does that gives it its name."""
    asked = set(meaning.offsets)
    if meaning.kind == "clock" and meaning.because != OF_A_COUNTRY:
        return meaning.zones if asked <= ever(meaning.zones[0]) else ()
    now = tuple(zone for zone in meaning.zones if asked <= {*seasons(zone, at)})
    return now or tuple(zone for zone in meaning.zones if asked <= ever(zone))


def _chosen(
    meaning: Meaning, known_by: KnownBy, country: _Country, at: datetime, problems: list[str]
) -> ResolvedZone | None:
    """One of the zones that a name may mean, with the country that it says itself, or that somebody gave."""
    says = _Country(meaning.country, country_zones(meaning.country)) if meaning.country else _Country()
    for place in (country, says):
        if zones := _of_country(meaning, place):
            return _choice(zones, known_by, at, f"{meaning.because}, in {place.code}")
    if meaning.kind == "several" and not _settled(meaning.zones, at):
        return _open(meaning, country, problems)
    first = meaning.zones[0]
    if meaning.kind != "place" and (same := _at_the_same_time(first, country, at)):
        return _choice(same, known_by, at, f"{meaning.because}, as in {country.code}")
    if country.zones and shown(first, at) not in {shown(zone, at) for zone in country.zones}:
        problems.append(f"time zone and country contradict each other: no clock in {country.code} shows the time of"
                        f" {first} then; the time zone counts")  # fmt: skip
    zones = meaning.zones if meaning.kind == "place" or meaning.because == OF_A_COUNTRY else (first,)
    return _choice(zones, known_by, at, meaning.because)


def _settled(zones: Iterable[str], at: datetime) -> bool:
    return len({shown(zone, at) for zone in zones}) == 1


def _open(meaning: Meaning, country: _Country, problems: list[str]) -> ResolvedZone | None:
    """Of several clocks, the likely one; or none, with a question."""
    unclear = UnknownZone("", SEVERAL, distinct(meaning.zones))
    problems.append(f"time zone: {unclear}")
    if country.zones or not meaning.likely:
        return None
    return ResolvedZone(meaning.zones[0], "assumed", because="the likeliest of several zones of that name")


def _of_country(meaning: Meaning, country: _Country) -> tuple[str, ...]:
    """The zones of a country that a name may mean: those with the clock that it stands for, if most people there have
    that, else all that bear the name."""
    members = [zone for zone in country.zones if canonical(zone) in meaning.zones]
    if not members or meaning.kind == "place" or meaning.because == OF_A_COUNTRY:
        return tuple(members)
    of_that_clock = [zone for zone in members if akin(zone, meaning.zones[0])]
    most = members[0] in of_that_clock or meaning.zones[0] in map(canonical, members)
    return tuple(of_that_clock if most else members)


def _at_the_same_time(zone: str, country: _Country, at: datetime) -> tuple[str, ...]:
    """The zones of a country whose clocks show the time of a zone: with all its changes, or all of them then."""
    same = [other for other in country.zones if shown(other, at) == shown(zone, at)]
    return tuple([other for other in same if akin(other, zone)] or (same if country.agrees(at) else []))


def _choice(zones: tuple[str, ...], known_by: KnownBy, at: datetime, because: str) -> ResolvedZone:
    """The first of some zones: known if all agree at that moment, else assumed."""
    if _settled(zones, at):
        return ResolvedZone(zones[0], known_by, because=because)
    return ResolvedZone(zones[0], "assumed", because=f"{because}; others of that name show another time then")


def _abbreviated(name: str, country: _Country, at: datetime) -> tuple[str, ...]:
    """The zones of a country that tzdata abbreviates so: India's for IST."""
    abbreviation = name.strip().upper()
    days = (at - _HALF_A_YEAR, at, at + _HALF_A_YEAR)
    return tuple(
        zone
        for zone in country.zones
        if any(day.astimezone(pytz.timezone(zone)).tzname() == abbreviation for day in days)
    )


def _by_offset(
    meaning: Meaning, known_by: KnownBy, country: _Country, at: datetime, problems: list[str]
) -> ResolvedZone | None:
    """An offset is no zone: it decides among those of the country, where it does, and else is only assumed."""
    first = meaning.zones[0] if meaning.zones else ""
    if country.zones:
        return _offset_there(meaning, known_by, country, at, problems)
    if first == "Etc/UTC":
        return ResolvedZone(first, known_by, because="UTC itself")
    problems.append(f"time zone: {NO_ZONE}")
    if not first or not _settled(meaning.zones, at):
        return None
    return ResolvedZone(first, "assumed", because="an offset from UTC, and no country that says which zone")


def _offset_there(
    meaning: Meaning, known_by: KnownBy, country: _Country, at: datetime, problems: list[str]
) -> ResolvedZone | None:
    """By an offset and a country. Lists of offsets give winter's, and a browser that of the day, so both count."""
    fits = _showing(meaning.offsets, country, at)
    if fits:
        return _choice(fits, known_by, at, f"{OFFSET} that fits zones of {country.code}")
    turned = _showing(tuple(-offset for offset in meaning.offsets), country, at)
    contradicts = f"no clock in {country.code} shows this offset from UTC; the country counts"
    if not turned or not meaning.zones or meaning.because == OFFSET:
        problems.append(f"time zone and country contradict each other: {contradicts}")
        return None
    sign = f"{meaning.zones[0]} is {_written(-meaning.offsets[0])} with the sign the other way round"
    problems.append(f"time zone: {sign}, and {contradicts}")
    if country.agrees(at):
        return None
    return replace(_choice(turned, "assumed", at, f"a mistaken sign, in {country.code}"), known_by="assumed")


def _showing(offsets: tuple[timedelta, ...], country: _Country, at: datetime) -> tuple[str, ...]:
    """The zones that show these offsets in winter, and then those that do at that moment."""
    asked = set(offsets)
    tests: tuple[Callable[[str], bool], ...] = (
        lambda zone: asked == {min(seasons(zone, at))},
        lambda zone: asked == {shown(zone, at)},
        lambda zone: asked == {*seasons(zone, at)},
    )
    return tuple(dict.fromkeys(zone for test in tests for zone in country.zones if test(zone)))


def _written(offset: timedelta) -> str:
    minutes = int(offset.total_seconds() // 60)
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
