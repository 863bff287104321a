"""Countries as people write them, and the time zones in them. Pure.

Codes and zones come from tzdata's zone.tab (pytz), names from CLDR (Babel), so updates of those keep them current.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

import pytz
from babel.core import get_global

from scheduler.zones import cldr
from scheduler.zones.folding import fold, tidy
from scheduler.zones.tables import CHINESE_STYLE, COUNTRIES, EXTRA_ZONES, MOST_PEOPLE, SHARED, STYLE

_FILLERS = frozenset({
    "the", "of", "and", "le", "la", "les", "l", "d", "de", "du", "des", "del", "el", "los", "las", "y", "et",
    "e", "da", "do", "das", "dos", "di", "della", "delle", "dei", "degli", "dell",
    "al", "и", "و",
})  # fmt: skip
_SHORT = {"st": "saint", "is": "islands", "isl": "islands", "island": "islands", "rep": "republic",
          "dem": "democratic", "fed": "federated", "ste": "sainte"}  # fmt: skip
_INITIALS = re.compile(r"(?<=\b\w)\.(?=\w\b)")  # the dots in U.S.A.
_FORM = re.compile("|".join(CHINESE_STYLE))
_SPLIT = re.compile(r"[()\[\]/|;,]| - ")


def country_code(text: str) -> str | None:
    """The ISO 3166 code (alpha-2, upper case) of a country given by alpha-2, alpha-3 or numeric code, or by name; None
    if no country has that name, or several have it.

    Names are understood in the six languages of the United Nations and in those of the countries, whatever their case,
    accents, punctuation and order of words; also official names with their words for the form of the state.
    """
    plain = _without_flag(tidy(text))
    if not plain:
        return None
    return _named(plain) or _agreed(plain)


def calls_itself(name: str) -> str | None:
    """The code of the country whose whole name this is in one of the six languages, or None."""
    return _codes().get(_key(name))


def country_zones(code: str) -> tuple[str, ...]:
    """The IANA names of a country's zones, the one of most of its people first. `code`: alpha-2, upper case."""
    if code in EXTRA_ZONES:
        return EXTRA_ZONES[code]
    zones = tuple(pytz.country_timezones[code])
    first = MOST_PEOPLE.get(code, zones[0])
    return (first, *(zone for zone in zones if zone != first))


@cache
def zones_of_countries() -> dict[str, str]:
    """The country of each zone."""
    return {zone: code for code in pytz.country_timezones for zone in pytz.country_timezones[code]}


def _named(plain: str) -> str | None:
    """The country whose whole name or code this is."""
    if plain.isascii() and (code := _short().get(_INITIALS.sub("", plain).rstrip(".").upper())):
        return code
    key = _key(plain)
    return _codes().get(key) or _codes_elsewhere().get(key) or _by_official_name(key)


def _agreed(plain: str) -> str | None:
    """The country of "Schweiz/Suisse" or "CH - Switzerland", if all parts name the same one."""
    parts = [part.strip() for part in _SPLIT.split(plain, maxsplit=5)]
    found = {_named(part) for part in parts if part.strip("- ")}
    return found.pop() if len(found) == 1 else None


def _by_official_name(key: str) -> str | None:
    core = _FORM.sub("", " ".join(word for word in key.split() if word not in _style()))
    if not core or core == key or core in SHARED:
        return None
    return _codes().get(core) or _codes_elsewhere().get(core)


@cache
def _style() -> frozenset[str]:
    return frozenset(map(_key, STYLE))


def _without_flag(text: str) -> str:
    """The text without flags (emoji); for a flag alone, its code."""
    letters = [chr(ord(c) - 0x1F1E6 + ord("A")) for c in text if 0x1F1E6 <= ord(c) <= 0x1F1FF]
    rest = "".join(c for c in text if not 0x1F1E6 <= ord(c) <= 0x1F1FF).strip()
    return rest or "".join(letters)


@cache
def _known() -> frozenset[str]:
    return frozenset({*pytz.country_timezones, *EXTRA_ZONES})


def _key(text: str) -> str:
    """The words of a name in alphabetical order, so that "Korea, Republic of" equals "Republic of Korea"."""
    words = fold(_INITIALS.sub("", text)).split()
    kept = [_SHORT.get(word, word).removeprefix("ال") for word in words if word not in _FILLERS] or words
    return " ".join(sorted(kept))


def _names() -> Iterator[tuple[str, str]]:
    """Every (name, alpha-2 code) in the six languages."""
    yield from ((name, code) for code, name in pytz.country_names.items())
    yield from ((name, code) for name, code, _ in cldr.territories())
    yield from COUNTRIES.items()


@cache
def _short() -> dict[str, str]:
    """Countries by code of two or three letters or three digits. Never compared without accents (Mỹ, Bỉ are names)."""
    aliases = get_global("territory_aliases").items()
    long = {alias: codes[0] for alias, codes in aliases if len(alias) == 3 and len(codes) == 1}
    return {code: code for code in _known()} | {
        alias: code for alias, code in long.items() if code in _known()
    }


@cache
def _codes() -> dict[str, str]:
    """Countries by name in the six languages. Words in brackets may be left out: Мьянма (Бирма)."""
    names = list(_names())
    return _index((name.split(" (")[0], code) for name, code in names if " (" in name) | _index(names)


@cache
def _codes_elsewhere() -> dict[str, str]:
    """Countries by name in other languages. A name of two countries counts only if it is one's own name for itself."""
    own = cldr.own_languages()
    all_names = list(cldr.territories(sorted(own)))
    themselves = _index((name, code) for name, code, language in all_names if code in own[language])
    return _index((name, code) for name, code, _ in all_names) | themselves


def _index(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    meanings: dict[str, set[str]] = {}
    for name, code in names:
        if code in _known():
            meanings.setdefault(_key(name), set()).add(code)
    return {key: codes.pop() for key, codes in meanings.items() if len(codes) == 1}
