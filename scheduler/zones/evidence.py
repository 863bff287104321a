"""Resolves a person's zone from all evidence about them. Pure."""

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
from scheduler.zones.offsets import known_offsets, offset_at, same_clock, seasons

KnownBy = Literal["confirmed", "timezone", "country", "assumed", "webinar"]
_HALF_A_YEAR = timedelta(days=182)


@dataclass(frozen=True)
class ResolvedZone:
    """A registrant's zone (IANA name), how it is known, and evidence that could not be used (no personal data).

    "assumed": one of several zones that agree with the evidence, chosen by population. `because`: why this one.
    """

    zone: str
    known_by: KnownBy
    problem: str = ""
    because: str = ""


@dataclass(frozen=True)
class _Country:
    """A given country (alpha-2, or "") and its zones, the one of most people first."""

    code: str = ""
    zones: tuple[str, ...] = ()

    def agrees(self, at: datetime) -> bool:
        return len({offset_at(zone, at) for zone in self.zones}) == 1


def zone_of(
    timezone: str | None, country: str | None, fallback: Zone, at: datetime, confirmed: str | None = None
) -> ResolvedZone:
    """The zone of a registrant by the best evidence: a confirmed zone, their time zone, the only zone of their country,
    an assumption among several, else `fallback`, the webinar's.

    `at` is the webinar's start: zones that show the same time then count as one. Never raises: unusable or
    contradictory evidence is named in `problem`, and the better evidence counts.
    """
    problems: list[str] = []
    lives_in = _country(country, problems)
    named: tuple[tuple[str | None, KnownBy], ...] = ((confirmed, "confirmed"), (timezone, "timezone"))
    for name, known_by in named:
        if (
            not name or not name.strip() or name.strip().upper() == lives_in.code
        ):  # "PT" beside Portugal is the country's code
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
    """Resolve a text from a column of time zones; None if it can't be used."""
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
    """A zone of the country whose name is spelled like an unknown name."""
    for candidate in candidates:
        for zone in sorted(country.zones, key=lambda zone: canonical(zone) != candidate):
            if same_clock(zone, candidate):
                return ResolvedZone(
                    zone, "assumed", because=f"a zone of {country.code} whose name is spelt alike"
                )
    return None


def _at_the_offsets(meaning: Meaning, at: datetime) -> tuple[str, ...]:
    """The zones that show the offsets given beside the name, in summer or winter; else those that once did. For a
    clock, only its reference zone is compared."""
    asked = set(meaning.offsets)
    if meaning.kind == "clock" and meaning.because != OF_A_COUNTRY:
        return meaning.zones if asked <= known_offsets(meaning.zones[0]) else ()
    fitting = tuple(zone for zone in meaning.zones if asked <= {*seasons(zone, at)})
    return fitting or tuple(zone for zone in meaning.zones if asked <= known_offsets(zone))


def _chosen(
    meaning: Meaning, known_by: KnownBy, country: _Country, at: datetime, problems: list[str]
) -> ResolvedZone | None:
    """Choose one of the zones that a name may mean, by the given country or the one in the name."""
    says = _Country(meaning.country, country_zones(meaning.country)) if meaning.country else _Country()
    for place in (country, says):
        if zones := _of_country(meaning, place):
            return _choice(zones, known_by, at, f"{meaning.because}, in {place.code}")
    if meaning.kind == "several" and not _agree(meaning.zones, at):
        return _likeliest(meaning, country, problems)
    first = meaning.zones[0]
    if meaning.kind != "place" and (same := _at_the_same_time(meaning, country, at)):
        return _choice(same, known_by, at, f"{meaning.because}, as in {country.code}")
    if country.zones and offset_at(first, at) not in {offset_at(zone, at) for zone in country.zones}:
        problems.append(f"time zone and country contradict each other: no clock in {country.code} shows the time of"
                        f" {first} then; the time zone counts")  # fmt: skip
    zones = meaning.zones if meaning.kind == "place" or meaning.because == OF_A_COUNTRY else (first,)
    return _choice(zones, known_by, at, meaning.because)


def _agree(zones: Iterable[str], at: datetime) -> bool:
    """Whether all zones show the same time at an instant."""
    return len({offset_at(zone, at) for zone in zones}) == 1


def _likeliest(meaning: Meaning, country: _Country, problems: list[str]) -> ResolvedZone | None:
    """The likeliest zone of an ambiguous name, or None; in both cases the ambiguity is a problem."""
    unclear = UnknownZone("", SEVERAL, distinct(meaning.zones))
    problems.append(f"time zone: {unclear}")
    if country.zones or not meaning.likely:
        return None
    return ResolvedZone(meaning.zones[0], "assumed", because="the likeliest of several zones of that name")


def _of_country(meaning: Meaning, country: _Country) -> tuple[str, ...]:
    """The zones of a country that a name may mean: those with its clock, if most people there have it, else all."""
    members = [zone for zone in country.zones if canonical(zone) in meaning.zones]
    if not members or meaning.kind == "place" or meaning.because == OF_A_COUNTRY:
        return tuple(members)
    of_that_clock = [zone for zone in members if same_clock(zone, meaning.zones[0])]
    most = members[0] in of_that_clock or meaning.zones[0] in map(canonical, members)
    return tuple(of_that_clock if most else members)


def _at_the_same_time(meaning: Meaning, country: _Country, at: datetime) -> tuple[str, ...]:
    """The zones of a country that show the same time as the first zone of a name: all year, or at that instant if all
    zones of the country agree and have the offset beside the name."""
    zone, asked = meaning.zones[0], set(meaning.offsets)
    same = [other for other in country.zones if offset_at(other, at) == offset_at(zone, at)]
    if of_that_clock := [other for other in same if same_clock(other, zone)]:
        return tuple(of_that_clock)
    return tuple(other for other in same if country.agrees(at) and asked <= known_offsets(other))


def _choice(zones: tuple[str, ...], known_by: KnownBy, at: datetime, because: str) -> ResolvedZone:
    """The first of these zones: known if all agree at that instant, else assumed."""
    if _agree(zones, at):
        return ResolvedZone(zones[0], known_by, because=because)
    return ResolvedZone(zones[0], "assumed", because=f"{because}; others of that name show another time then")


def _abbreviated(name: str, country: _Country, at: datetime) -> tuple[str, ...]:
    """The zones of a country with this abbreviation in tzdata: India's for IST."""
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
    """Resolve an offset from UTC: it chooses among the country's zones; without a country, a zone is only assumed."""
    first = meaning.zones[0] if meaning.zones else ""
    if country.zones:
        return _offset_there(meaning, known_by, country, at, problems)
    if first == "Etc/UTC":
        return ResolvedZone(first, known_by, because="UTC itself")
    problems.append(f"time zone: {NO_ZONE}")
    if not first or not _agree(meaning.zones, at):
        return None
    return ResolvedZone(first, "assumed", because="an offset from UTC, and no country that says which zone")


def _offset_there(
    meaning: Meaning, known_by: KnownBy, country: _Country, at: datetime, problems: list[str]
) -> ResolvedZone | None:
    """Resolve an offset and a country. Lists show winter's offset and browsers the present one, so both count."""
    fits = _showing(meaning.offsets, country, at)
    if fits:
        return _choice(fits, known_by, at, f"{OFFSET} that fits zones of {country.code}")
    turned = _showing(tuple(-offset for offset in meaning.offsets), country, at)
    contradicts = f"no clock in {country.code} shows this offset from UTC; the country counts"
    if not turned or not meaning.zones or meaning.because == OFFSET:
        problems.append(f"time zone and country contradict each other: {contradicts}")
        return None
    sign = f"{meaning.zones[0]} is {_spelled(-meaning.offsets[0])} with the sign the other way round"
    problems.append(f"time zone: {sign}, and {contradicts}")
    if country.agrees(at):
        return None
    return replace(_choice(turned, "assumed", at, f"a mistaken sign, in {country.code}"), known_by="assumed")


def _showing(offsets: tuple[timedelta, ...], country: _Country, at: datetime) -> tuple[str, ...]:
    """The zones that show these offsets: in winter first, then at that instant, then in either season."""
    asked = set(offsets)
    tests: tuple[Callable[[str], bool], ...] = (
        lambda zone: asked == {min(seasons(zone, at))},
        lambda zone: asked == {offset_at(zone, at)},
        lambda zone: asked == {*seasons(zone, at)},
    )
    return tuple(dict.fromkeys(zone for test in tests for zone in country.zones if test(zone)))


def _spelled(offset: timedelta) -> str:
    minutes = int(offset.total_seconds() // 60)
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
