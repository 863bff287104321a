"""Search for a time zone by city, country or name of a clock, in the reader's language. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache

import pytz

from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.wording import city_name, clock_time, locale
from scheduler.zones.cldr import canonical
from scheduler.zones.countries import country_zones
from scheduler.zones.folding import fold, tidy
from scheduler.zones.names import UnknownZone, read
from scheduler.zones.offsets import offset_at, seasons, utc_offset
from scheduler.zones.tables import GENEVA, PLACES
from scheduler.zones.wall import Zone

MOST_FOUND = 12
UTC = "Etc/UTC"


@dataclass(frozen=True)
class Place:
    """A place with a time zone, in words: Nairobi in Kenya."""

    zone: str
    city: str
    country: str

    def hours(self, start: datetime, end: datetime, language: str) -> str:
        """A period on the clock of this place: "Thursday, 3 July 2025, 14:00–16:00 (UTC+3)"."""
        at = clock_time(start, end, pytz.timezone(self.zone), language)
        return at.words.brackets.format(when=at.when, zone=at.offset)


@dataclass(frozen=True)
class Found:
    """The places found, the likeliest first. more: whether there are others."""

    places: tuple[Place, ...] = ()
    more: bool = False


def search_zones(text: str, language: str, at: datetime) -> Found:
    """The places that a text may mean: the beginning of a city's or a country's name in `language` or in English, the
    name of another city, of a clock or of a zone, or an offset from UTC at an instant."""
    sought = fold(tidy(text))
    if not sought:
        return Found()
    if (offset := utc_offset(text)) is not None:
        found = [place for place in _places(language).values() if offset_at(place.zone, at) == offset]
    else:
        found = [*_by_exact_name(text, language), *_by_beginning(sought, language)]
        found = found or list(_by_likeness(text, language))
    distinct = _other_clocks_first(list(dict.fromkeys(found)), at)
    return Found(tuple(distinct[:MOST_FOUND]), len(distinct) > MOST_FOUND)


def place_of(zone: Zone, language: str) -> Place:
    """The place that gives a zone its name."""
    name = canonical(str(zone))
    return _places(language).get(name) or Place(name, city_name(pytz.timezone(name), language) or name, "")


def chosen_zone(text: str) -> str | None:
    """The present name of the zone that a form or a browser names: Asia/Kolkata for Asia/Calcutta; None for what is no
    place's."""
    if text not in pytz.all_timezones_set or ("/" not in text and text != "UTC"):
        return None
    name = canonical(text)
    if name.startswith("Etc/"):
        return UTC if name in (UTC, "Etc/GMT") else None
    return name


def _other_clocks_first(places: list[Place], at: datetime) -> list[Place]:
    """Where there are too many, one place of each clock of a country comes first: New York, Chicago, Denver."""
    if len(places) <= MOST_FOUND:
        return places
    clocks = {(place.country, seasons(place.zone, at)): place for place in reversed(places)}
    first = {id(place) for place in clocks.values()}
    return sorted(places, key=lambda place: id(place) not in first)


def _by_beginning(sought: str, language: str) -> Iterator[Place]:
    """Cities whose name begins like this, then countries, then those with a word that does."""
    entries = _entries(language)
    yield from (entry.place for entry in entries if any(one.startswith(sought) for one in entry.cities))
    yield from (entry.place for entry in entries if any(one.startswith(sought) for one in entry.countries))
    for entry in entries:
        if any(f" {sought}" in name for name in (*entry.cities, *entry.countries)):
            yield entry.place


def _by_exact_name(text: str, language: str) -> Iterator[Place]:
    """The places of a zone that has this name among all that systems and people use: Mumbai, PST, Romance Standard
    Time."""
    try:
        meaning = read(text)
    except UnknownZone:
        return
    if meaning.kind != "fixed":
        yield from _named(meaning.zones, language)


def _by_likeness(text: str, language: str) -> Iterator[Place]:
    try:
        read(text)
    except UnknownZone as unknown:
        yield from _named(unknown.candidates, language)


def _named(zones: Iterable[str], language: str) -> Iterator[Place]:
    places = _places(language)
    yield from (places[zone] for zone in map(canonical, zones) if zone in places)


def _places(language: str) -> dict[str, Place]:
    """The places by zone; of a zone that several countries share, the last one."""
    return {entry.place.zone: entry.place for entry in _entries(language)}


@dataclass(frozen=True)
class _Entry:
    """A place, and the folded names by which it is found, in the reader's language and in English."""

    place: Place
    cities: tuple[str, ...]
    countries: tuple[str, ...]


@lru_cache(maxsize=8)
def _entries(language: str) -> tuple[_Entry, ...]:
    """Every place in `language`: countries in alphabetical order, the zone of most of a country's people first."""
    territories, english = locale(language).territories, locale("en").territories
    entries = []
    for code in pytz.country_timezones:
        countries = (str(territories.get(code, code)), str(english.get(code, code)))
        for zone in map(canonical, country_zones(code)):
            cities = (_city(zone, language), _city(zone, "en"), *_other_cities().get(zone, ()))
            place = Place(zone, cities[0], countries[0])
            entries.append(_Entry(place, _folded(cities), _folded(countries)))
    entries.sort(key=lambda entry: fold(entry.place.country))
    return (*entries, _Entry(Place(UTC, "UTC", ""), ("utc",), ()))


def _city(zone: str, language: str) -> str:
    city = city_name(pytz.timezone(zone), language)
    return f"{phrases(language).geneva}{phrases(language).comma}{city}" if zone == GENEVA else city


def _folded(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(fold, names)))


@cache
def _other_cities() -> dict[str, list[str]]:
    """Cities and regions that have a zone under another name, by zone: Mumbai."""
    cities: dict[str, list[str]] = {}
    for name, zone in PLACES.items():
        if isinstance(zone, str):
            cities.setdefault(canonical(zone), []).append(name)
    return cities
