"""Names of zones and countries in CLDR, as Babel has them. Pure."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytz
from babel import Locale, localedata
from babel.core import get_global

from scheduler.zones.tables import METAZONES

SIX = ("en", "fr", "es", "ar", "zh", "ru")
"""The languages of the United Nations."""
_CLOCKS_IN = (*SIX, "de", "pt", "it", "ja", "tr", "nl", "ko", "pl", "uk", "id")


def canonical(name: str) -> str:
    """The present IANA name of a zone: Asia/Kolkata for Asia/Calcutta, America/New_York for US/Eastern."""
    return str(get_global("zone_aliases").get(name, name))


def territories(languages: tuple[str, ...] = SIX) -> Iterator[tuple[str, str]]:
    """Every (name, code) of a country in these languages."""
    for language in languages:
        yield from ((name, code) for code, name in Locale.parse(language).territories.items())


@cache
def own_languages() -> dict[str, frozenset[str]]:
    """Language to the countries in which it is official, or that of half the people."""
    spoken: dict[str, set[str]] = {}
    for country, languages in get_global("territory_languages").items():
        for language, about in languages.items():
            if about["official_status"] or about["population_percent"] >= 50:
                spoken.setdefault(language, set()).add(country)
    return {
        language: frozenset(countries) for language, countries in spoken.items() if localedata.exists(language)
    }


def territories_elsewhere() -> Iterator[tuple[str, str, str]]:
    """Every (name, code, language) of a country in any language that is a country's own.

    Read from Babel's files one by one: Babel itself would keep 100 MB of what these 170 locales hold besides.
    """
    for language in sorted(own_languages()):
        file = Path(localedata.resolve_locale_filename(language))
        data: dict[str, Any] = pickle.loads(file.read_bytes())  # noqa: S301 - a file of Babel's own
        yield from ((name, code, language) for code, name in data.get("territories", {}).items())


@cache
def metazones() -> dict[str, tuple[str, ...]]:
    """Metazone (America_Pacific) to the zones that have its clock today, the one that gives it first."""
    members: dict[str, list[str]] = {name: [zone] for name, zone in METAZONES.items()}
    for zone, metazone in sorted(get_global("meta_zones").items()):
        if zone in pytz.all_timezones_set:
            members.setdefault(metazone, []).append(canonical(zone))
    return {name: tuple(dict.fromkeys(zones)) for name, zones in members.items()}


@cache
def metazone_of() -> dict[str, str]:
    """Zone to its metazone."""
    return {canonical(zone): name for zone, name in get_global("meta_zones").items()}


def clocks() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every (name of a clock, its zones): "Pacific Daylight Time", "Mitteleuropäische Sommerzeit"."""
    for language in _CLOCKS_IN:
        locale = Locale.parse(language)
        for metazone, widths in locale.meta_zones.items():
            if zones := metazones().get(metazone):
                yield from ((name, zones) for name in widths.get("long", {}).values())
        for zone, about in locale.time_zones.items():
            if zone in pytz.all_timezones_set:
                yield from ((name, (canonical(zone),)) for name in about.get("long", {}).values())


def cities() -> Iterator[tuple[str, str]]:
    """Every (name of a city, zone) in those languages: "Нью-Йорк"."""
    for language in _CLOCKS_IN:
        for zone, about in Locale.parse(language).time_zones.items():
            if "city" in about and zone in pytz.all_timezones_set:
                yield about["city"], canonical(zone)


def windows() -> dict[str, str]:
    """Windows' names, and the zones that they mean."""
    return {name: canonical(zone) for name, zone in get_global("windows_zone_mapping").items()}
