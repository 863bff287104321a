"""Names of zones and countries in CLDR, from Babel's data. Pure."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytz
from babel import localedata
from babel.core import get_global

from scheduler.zones.tables import METAZONES

SIX = ("en", "fr", "es", "ar", "zh", "ru")
"""The languages of the United Nations."""
_CLOCKS_IN = (*SIX, "de", "pt", "it", "ja", "tr", "nl", "ko", "pl", "uk", "id")


def canonical(name: str) -> str:
    """The present IANA name of a zone: Asia/Kolkata for Asia/Calcutta, America/New_York for US/Eastern."""
    return str(get_global("zone_aliases").get(name, name))


def territories(languages: Iterable[str] = SIX) -> Iterator[tuple[str, str, str]]:
    """Every (name, code, language) of the countries in these languages."""
    for language in languages:
        yield from ((name, code, language) for code, name in _data(language).get("territories", {}).items())


@cache
def own_languages() -> dict[str, frozenset[str]]:
    """The countries in which a language is official, or that of half the people, by language."""
    spoken: dict[str, set[str]] = {}
    for country, languages in get_global("territory_languages").items():
        for language, about in languages.items():
            if about["official_status"] or about["population_percent"] >= 50:
                spoken.setdefault(language, set()).add(country)
    return {
        language: frozenset(countries)
        for language, countries in spoken.items()
        if localedata.exists(language)
    }


def _data(language: str) -> dict[str, Any]:
    """Babel's data of a language, read from its file: Babel itself would cache it, 100 MB for 170 languages."""
    found: dict[str, Any] = pickle.loads(Path(localedata.resolve_locale_filename(language)).read_bytes())  # noqa: S301
    return found


@cache
def metazones() -> dict[str, tuple[str, ...]]:
    """The zones that have the clock of each metazone (America_Pacific) today, its reference zone first."""
    members: dict[str, list[str]] = {name: [zone] for name, zone in METAZONES.items()}
    for zone, metazone in sorted(get_global("meta_zones").items()):
        if zone in pytz.all_timezones_set:
            members.setdefault(metazone, []).append(canonical(zone))
    return {name: tuple(dict.fromkeys(zones)) for name, zones in members.items()}


@cache
def metazone_of() -> dict[str, str]:
    """The metazone of each zone."""
    return {canonical(zone): name for zone, name in get_global("meta_zones").items()}


def clocks() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every (name of a clock, its zones): "Pacific Daylight Time", "Mitteleuropäische Sommerzeit"."""
    for language in _CLOCKS_IN:
        data = _data(language)
        for metazone, widths in data.get("meta_zones", {}).items():
            if zones := metazones().get(metazone):
                yield from ((name, zones) for name in widths.get("long", {}).values())
        for zone, about in data.get("time_zones", {}).items():
            if zone in pytz.all_timezones_set:
                yield from ((name, (canonical(zone),)) for name in about.get("long", {}).values())


def cities() -> Iterator[tuple[str, str]]:
    """Every (name of a city, zone) in the languages of clocks: "Нью-Йорк"."""
    for language in _CLOCKS_IN:
        for zone, about in _data(language).get("time_zones", {}).items():
            if "city" in about and zone in pytz.all_timezones_set:
                yield about["city"], canonical(zone)


def windows() -> dict[str, str]:
    """The zone of each of Windows' names."""
    return {name: canonical(zone) for name, zone in get_global("windows_zone_mapping").items()}
