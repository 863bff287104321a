"""Names of time zones as people and systems write them, and the zones of the tz database that they may mean. Pure.

A *place* ("Europe/Zurich", "Mumbai") has one clock. A *clock* ("Pacific Time", "W. Europe Standard Time") is shared by
many zones, among which a person's country decides. *Several*: the name of clocks that do not agree (IST). *Fixed*
(UTC+1): an offset, without rules for summer time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Literal

import pytz

from scheduler.zones import cldr
from scheduler.zones.cldr import canonical
from scheduler.zones.countries import calls_itself, country_code, country_zones
from scheduler.zones.folding import fold, tidy
from scheduler.zones.offsets import (
    known_offsets,
    offsets_within,
    recent_offsets,
    same_clock,
    utc_offset,
    zone_at_offset,
)
from scheduler.zones.tables import (
    AMBIGUOUS,
    CENTRAL_EUROPEAN,
    CLEAR,
    CLOCKS,
    GENEVA,
    GENEVA_NAMES,
    NAMESAKES,
    PLACES,
    REGIONS,
    WINDOWS,
    WITHOUT_COUNTRY,
)

Zone = pytz.BaseTzInfo
Kind = Literal["place", "clock", "several", "fixed"]

OF_TZDATA = "a name of the tz database"
OF_A_PLACE = "the name of a place in this zone"
OF_A_COUNTRY = "the name of a country"
OF_A_CLOCK = "the name of this zone's clock"
ABBREVIATION = "an abbreviation of this zone's clock"
OFFSET = "an offset from UTC"
SEVERAL = "the name of several time zones that do not agree"
NO_ZONE = ("an offset from UTC is not a time zone, as it does not say when summer time begins: name that of a city, as"
            " in Europe/Zurich")  # fmt: skip

_GREENWICH_ALL_YEAR = ("etc/gmt", "etc/gmt0", "etc/gmt+0", "etc/gmt-0", "etc/greenwich")
_TOKEN = re.compile(r"(?<![\w.+-])[A-Za-z][\w.+-]*(?:/[\w.+-]+)+")
_SLASH = re.compile(r"_slash_|\\/|%2F", re.IGNORECASE)  # HubSpot's america_slash_new_york, JSON, a link
_BLANK_SLASH = re.compile(r"(?<=\w) ?/ ?(?=\w)")
_RELATIVE = re.compile(r"(?!utc|gmt)[a-z]{2,5}[+-]\d{1,2}", re.IGNORECASE)  # MSK+2 is UTC+5
_COPY = re.compile(r" \d{1,2}$")  # Outlook's "GMT Standard Time 1"
_APART = re.compile(r"[,;:()\[\]|]| - ")
_LOOSELY = re.compile(r"[/&]| (?:and|or) ", re.IGNORECASE)
_TIME = frozenset({"time", "times", "zone", "timezone", "tz", "local", "standard", "daylight", "summer", "winter",
                   "saving", "savings", "std"})  # fmt: skip
_SEASON = frozenset({"standard", "daylight", "summer", "saving", "savings"})
_EMPTY = _TIME | {"utc", "gmt", "ut", "z", "hours", "hour", "hrs", "hr", "h", "offset", "dst", "no", "with",
                  "without", "observes", "default", "old"}  # fmt: skip
_AMERICAN = frozenset({"us", "usa", "american", "north"})
_SHORT_COUNTRIES = frozenset({"us", "usa", "uk", "uae"})
_MOST_PARTS = 12
_NO_CITIES = ("Etc/", "US/", "Canada/", "Mexico/", "Brazil/", "Chile/")  # tzdata's areas that hold regions


class UnknownZone(ValueError):
    """A name of no time zone, or of several. `candidates`: IANA names that may be meant.

    The message never repeats `name`, since a registrant may have typed anything there.
    """

    def __init__(self, name: str, reason: str, candidates: Iterable[str] = ()) -> None:
        self.name = name
        self.candidates = tuple(candidates)
        hint = f"; may be meant: {', '.join(self.candidates)}" if self.candidates else ""
        super().__init__(reason + hint)


@dataclass(frozen=True)
class Meaning:
    """The possible meanings of a name: `zones`, the likeliest first, and the `offsets` given beside it.

    `because`: the kind of name. `country`: a country in the name (alpha-2). `likely`: the first of several zones may be
    assumed if nothing else is known. `partly`: a part of the name is not understood. `city`: the name may be another
    place's, if other evidence does not fit.
    """

    kind: Kind
    zones: tuple[str, ...]
    because: str
    offsets: tuple[timedelta, ...] = ()
    country: str = ""
    likely: bool = True
    partly: bool = False
    city: bool = False


def webinar_zone(name: str) -> Zone:
    """The zone named by an organizer. CET, CEST, MET and Geneva mean Geneva's civil time.

    All parts of "CET/Geneva time" must mean the same zone. The tz database's Etc/GMT is UTC; "GMT" alone is refused,
    since it may mean London's civil time. Raises UnknownZone.
    """
    if tidy(name).casefold() in _GREENWICH_ALL_YEAR:
        return pytz.timezone("Etc/UTC")
    # The common case, without loading the names of all countries in all languages, which takes 2 s.
    return pytz.timezone(GENEVA) if zone_place(name) else registrant_zone(name)


def zone_place(name: str) -> str | None:
    """"Geneva" if the name of a webinar's zone means Geneva's civil time, so that mails do not name Zurich; else None,
    also for "Europe/Zurich" and Windows' names."""  # fmt: skip
    geneva = {fold(part) for part in (*GENEVA_NAMES, *CENTRAL_EUROPEAN)}
    parts = {fold(part) for part in re.split(r"[/,(]", tidy(name).rstrip(")"))}
    return "Geneva" if fold(tidy(name)) in geneva or parts <= geneva else None


def registrant_zone(name: str) -> Zone:
    """The zone that a name means without other evidence: an IANA name (any case, blanks for underscores), a Windows
    name or title, a city, a clock, an abbreviation of one zone. Its present name is used (Kolkata, not Calcutta).

    Raises UnknownZone for anything else: abbreviations of several zones, and offsets from UTC, which have no rules for
    summer time ("UTC-5" is New York in winter and Chicago in summer).
    """
    if fold(tidy(name)) in ("gmt", "greenwich", "greenwich mean time"):
        raise UnknownZone(
            name, "the clock of London, which is put forward in summer, or UTC", ("Europe/London", "UTC")
        )
    meaning = read(name)
    if meaning.because in (OFFSET, ABBREVIATION) and meaning.kind == "fixed":
        raise UnknownZone(name, NO_ZONE)
    asked = set(meaning.offsets)
    zones = [zone for zone in meaning.zones if asked <= recent_offsets(zone)]
    zones = zones or [zone for zone in meaning.zones if asked <= known_offsets(zone)]
    if not zones or (meaning.kind == "clock" and zones[0] != meaning.zones[0]):
        raise UnknownZone(name, "its name and its offset from UTC contradict each other", meaning.zones[:1])
    by_itself = meaning.kind == "clock" and meaning.because != OF_A_COUNTRY
    if not by_itself and len(clocks := distinct(zones)) > 1:
        raise UnknownZone(name, SEVERAL, clocks)
    return pytz.timezone(zones[0])


def distinct(zones: Iterable[str]) -> tuple[str, ...]:
    """Up to three of these zones, with different clocks."""
    found: list[str] = []
    for zone in zones:
        if not any(same_clock(zone, other) for other in found):
            found.append(zone)
    return tuple(found[:3])


@lru_cache(maxsize=4096)
def read(text: str) -> Meaning:
    """The meaning of a text from a column of time zones, in linear time. Raises UnknownZone, also for texts of more
    than 200 characters."""
    plain = _SLASH.sub("/", tidy(text))
    if _RELATIVE.fullmatch(plain):
        raise UnknownZone(text, "a time that is counted from another zone's, or an offset from UTC")
    whole = _iana(plain) or _iana(_BLANK_SLASH.sub("/", plain)) or _index().get(fold(plain))
    if whole and not (whole.kind == "fixed" and whole.because == OFFSET):
        return whole
    tokens = {token: zone for token in _TOKEN.findall(plain) if (zone := _last_iana(token))}
    if len({*tokens.values()}) > 1:
        raise UnknownZone(text, "the names of several time zones", sorted({*tokens.values()})[:3])
    try:
        offsets, rest = offsets_within(plain.replace(next(iter(tokens)), " ") if tokens else plain)
    except ValueError:
        raise UnknownZone(text, "no clock shows such an offset from UTC") from None
    if tokens and (found := _iana(next(iter(tokens.values())))):
        return found if found.kind == "fixed" else replace(found, offsets=offsets)
    found = _whole(rest) or _together(rest, sure=bool(offsets))
    words = set(fold(rest).split())
    if not offsets and not found and words <= _EMPTY and words & {"utc", "gmt"}:  # "GMT/UTC"
        offsets = (timedelta(0),)
    if offsets and (words <= _EMPTY or (found and found.kind == "fixed")):
        if found and set(offsets) == set(found.offsets):
            return found
        return Meaning("fixed", _at_offsets(offsets), OFFSET, offsets)
    if found:
        return found if found.kind == "fixed" else replace(found, offsets=offsets or found.offsets)
    raise UnknownZone(text, "not the name of a time zone", close_names(plain))


def _at_offsets(offsets: tuple[timedelta, ...]) -> tuple[str, ...]:
    return tuple(zone for offset in offsets if (zone := zone_at_offset(offset)))


def load_names() -> None:
    """Load CLDR's names, which takes half a second; otherwise the first text that is no name of tzdata's does it."""
    _index()


@cache
def _ianas() -> dict[str, str]:
    return {_spelt(zone): zone for zone in pytz.all_timezones}


def _spelt(name: str) -> str:
    return name.replace(" ", "_").casefold()


def _iana(plain: str) -> Meaning | None:
    """The meaning of a tzdata name, except for abbreviations: by EST people mean another zone than tzdata."""
    zone = _ianas().get(_spelt(plain))
    if zone is None or zone.upper() in AMBIGUOUS or zone in CLEAR:
        return None
    present = canonical(zone)
    if present == "Etc/GMT":
        return Meaning("fixed", (present,), OFFSET, (timedelta(0),))
    if present.startswith("Etc/"):
        return Meaning("fixed", (present,), OF_TZDATA, tuple(known_offsets(present)))
    return Meaning("place", (present,), OF_TZDATA)


def _last_iana(token: str) -> str | None:
    """The zone at the end of a path: Europe/Berlin for "/mozilla.org/20070129_1/Europe/Berlin"."""
    parts = token.split("/")
    for first in range(max(0, len(parts) - 3), len(parts) - 1):
        if zone := _ianas().get(_spelt("/".join(parts[first:]))):
            return canonical(zone)
    return None


def _whole(rest: str) -> Meaning | None:
    """The meaning of a name that stands alone."""
    stripped = rest.strip(" ()[]-:,;.")
    for name in (stripped, _COPY.sub("", stripped)):
        if found := _iana(name):
            return found
        key = fold(name)
        if found := _index().get(key) or (None if _TIME & set(key.split()) else _a_country(name)):
            return found
        if found := next((found for one in _variants(key) if (found := _index().get(one))), None):
            return found
    return _a_country(stripped)


def _variants(key: str) -> Iterator[str]:
    """Variants of a folded name: without words like "time" or "summer", or with others of them."""
    words = key.split()
    core = " ".join(word for word in words if word not in _TIME)
    if not core:
        return
    if _SEASON & set(words):
        yield f"{core} standard time"
    yield f"{core} time"
    yield core
    yield " ".join(word for word in core.split() if word not in _AMERICAN)
    yield core.removesuffix(" city")


def _a_country(name: str) -> Meaning | None:
    """The zones of "India" or "Kenya time". Codes are not understood: CA and IN are states of the USA, too."""
    plain = " ".join(word for word in name.split() if fold(word) not in _TIME)
    if len(plain) < 4 and plain.isascii() and fold(plain) not in _SHORT_COUNTRIES:
        return None
    code = country_code(plain)
    return _in_country(code) if code and country_zones(code) else None


def _in_country(code: str) -> Meaning:
    return Meaning("clock", tuple(map(canonical, country_zones(code))), OF_A_COUNTRY, country=code, city=True)


def _together(rest: str, *, sure: bool) -> Meaning | None:
    """The meaning of several names: "Amsterdam, Berlin, Bern", "Pacific Time - Vancouver", "Nairobi, Kenya". A part
    that is not understood is ignored only if the others are checked against an offset (`sure`)."""
    parts = [
        one for part in _split(_APART, rest) for one in ([part] if _whole(part) else _split(_LOOSELY, part))
    ]
    if sure and len(parts) == 1 and all(_of_a_place(word) for word in parts[0].split()):
        parts = parts[0].split()  # "Prague Bratislava"
    meanings = {part: _part(part, first=part == parts[0]) for part in parts[:_MOST_PARTS]
                if not set(fold(part).split()) <= _EMPTY}  # fmt: skip
    known = [meaning for meaning in meanings.values() if meaning]
    partly = len(known) < len(meanings)
    if not known or len(parts) > _MOST_PARTS or (partly and not sure):
        return None
    found = _combined(known, sure=sure)
    return replace(found, partly=partly) if found else None


def _part(part: str, *, first: bool) -> Meaning | None:
    """The meaning of one part. After a place, a name of both a country and tzdata (Portugal) means the country."""
    if first:
        return _whole(part)
    if code := REGIONS.get(part) or REGIONS.get(part.title()):
        state, country = _index().get(fold(part)), _in_country(code)
        alone = state and state.kind == "place" and _within(state.zones[0], (code,))
        return replace(country, zones=state.zones) if state and alone else country
    return _a_country(part) if calls_itself(part) else _whole(part)


def _split(separators: re.Pattern[str], text: str) -> list[str]:
    return [part for part in (part.strip(" -.") for part in separators.split(text)) if part]


def _of_a_place(word: str) -> bool:
    found = _index().get(fold(word))
    return bool(found and found.kind == "place")


def _combined(known: list[Meaning], *, sure: bool) -> Meaning | None:
    """The common meaning of several names: the places that have the named clocks and are in the named country."""
    if fixed := [one for one in known if one.kind == "fixed"]:  # "Greenwich Mean Time: Dublin, London"
        rest = [one for one in known if one.kind != "fixed"]
        found = _combined(rest, sure=True) if rest else fixed[0]
        return replace(found, offsets=fixed[0].offsets) if found else None
    countries = {one.country: one for one in known if one.because == OF_A_COUNTRY}
    places = [one for one in known if one.because in (OF_A_PLACE, OF_TZDATA)]
    clocks = [one for one in known if one.because in (OF_A_CLOCK, ABBREVIATION)]
    if places:
        zones = _windows_first(zone for one in _narrowed(places) for zone in one.zones)
        fitting = [zone for zone in zones if all(_has(zone, clock) for clock in clocks)]
        alone = [zone for zone in fitting if _within(zone, countries)]
        if not alone:  # a list of places, some of which are countries
            either = [*fitting, *(zone for one in countries.values() for zone in one.zones)]
            alone = either if sure or all(same_clock(zone, either[0]) for zone in either) else []
        kind: Kind = "place" if sure or len(distinct(alone)) == 1 else "several"
        return Meaning(kind, tuple(alone), OF_A_PLACE, city=True, likely=False) if alone else None
    if not clocks:
        zones = [zone for one in countries.values() for zone in one.zones]
        return (
            known[0]
            if len(countries) == 1
            else Meaning("place", tuple(zones), OF_A_PLACE, city=True)
            if sure
            else None
        )
    if len(countries) == 1 and (state := _state(next(iter(countries.values())))):  # "Mountain Time (Arizona)"
        return state if all(_has(state.zones[0], clock) for clock in clocks) else None
    shared = [zone for zone in clocks[0].zones if all(_has(zone, clock) for clock in clocks[1:])]
    there = [zone for zone in shared if any(_within(zone, (code,)) for code in countries)]
    shared = there or shared  # Eastern Time (US & Canada) is not Australia's
    kind = "several" if all(one.kind == "several" for one in clocks) else "clock"
    only = next(iter(countries)) if len(countries) == 1 else ""
    return replace(clocks[0], kind=kind, zones=tuple(shared), country=only) if shared else None


def _state(country: Meaning) -> Meaning | None:
    """The meaning of a state with a zone of its own; None if the whole country is meant."""
    if len(country.zones) < len(country_zones(country.country)):
        return Meaning("place", country.zones[:1], OF_A_PLACE, country=country.country)
    return None


def namesake(text: str, country: str) -> tuple[str, ...]:
    """The zones of the place in this country (alpha-2) whose name usually means a place elsewhere: London in Canada."""
    name = " ".join(word for word in fold(tidy(text)).split() if word not in _TIME)
    return NAMESAKES.get(name, {}).get(country, ())


def _narrowed(places: list[Meaning]) -> list[Meaning]:
    """Drop ambiguous names of which another part names one place: Georgia in "Tbilisi, Georgia"."""
    single = {zone for one in places if one.kind == "place" for zone in one.zones}
    return [one for one in places if one.kind == "place" or not single & {*one.zones}]


def _has(zone: str, clock: Meaning) -> bool:
    return zone in clock.zones or any(same_clock(zone, other) for other in clock.zones)


def _within(zone: str, countries: Collection[str]) -> bool:
    """Whether a zone is in the only named country. Several countries are part of a clock's name ("US & Canada")."""
    return len(countries) != 1 or any(zone in map(canonical, country_zones(code)) for code in countries)


def _windows_first(zones: Iterable[str]) -> list[str]:
    """The distinct zones, those of Windows' names first: a list of cities contains one of them."""
    chosen = {*cldr.windows().values()}
    return sorted(dict.fromkeys(zones), key=lambda zone: zone not in chosen)


def _family(zone: str) -> tuple[str, ...]:
    """A zone, and those that share its metazone and its clock."""
    shared = cldr.metazones().get(cldr.metazone_of().get(zone, ""), ())
    return (zone, *(other for other in shared if other != zone and same_clock(other, zone)))


@cache
def _index() -> dict[str, Meaning]:
    """The meaning of each folded name. Later sources take precedence."""
    return _city_names() | _clock_names() | _our_names()


@cache
def _city_names() -> dict[str, Meaning]:
    own = [
        (zone.rsplit("/", 1)[1], canonical(zone))
        for zone in pytz.all_timezones
        if "/" in zone and not zone.startswith(_NO_CITIES)
    ]
    names: dict[str, dict[str, None]] = {}
    for name, zone in own:
        names.setdefault(fold(name.replace("_", " ")), {})[zone] = None
    of_tzdata = {*names}
    for name, zone in cldr.cities():
        key = fold(name)
        if key not in of_tzdata and not calls_itself(name):  # Mexico is the city in French
            names.setdefault(key, {})[zone] = None
    return {key: _place(tuple(zones), likely=False) for key, zones in names.items()}


def _place(zones: tuple[str, ...], *, likely: bool = True) -> Meaning:
    one = all(same_clock(zone, zones[0]) for zone in zones)
    return Meaning("place" if one else "several", zones, OF_A_PLACE, likely=likely, city=True)


@cache
def _clock_names() -> dict[str, Meaning]:
    """Windows' names, and CLDR's in many languages. Where they disagree, the name means several zones."""
    named: dict[str, Meaning] = {}
    windows = cldr.windows() | WINDOWS
    groups = [(name, _family(zone)) for name, zone in windows.items() if utc_offset(name) is None]
    for name, zones in (*groups, *cldr.clocks()):
        key = fold(name)
        before = named.get(key)
        named[key] = _clock(zones) if before is None else _joined(before, zones)
    for word, metazones in WITHOUT_COUNTRY.items():
        zones = tuple(zone for metazone in metazones for zone in cldr.metazones()[metazone])
        for ending in ("time", "standard time", "daylight time"):
            key = f"{fold(word)} {ending}"
            before = named.get(key) or Meaning("several", (), OF_A_CLOCK, likely=False)
            named[key] = replace(before, zones=(*before.zones, *zones))
    return named


def _clock(zones: tuple[str, ...], because: str = OF_A_CLOCK) -> Meaning:
    if zones[0] == "Etc/GMT":
        return Meaning("fixed", zones[:1], OFFSET, (timedelta(0),))
    if zones[0] == "Etc/UTC":
        return Meaning("fixed", zones[:1], OF_TZDATA, (timedelta(0),))
    return Meaning("clock", zones, because)


def _joined(before: Meaning, zones: tuple[str, ...]) -> Meaning:
    if before.kind == "fixed":
        return before
    both = tuple(dict.fromkeys((*before.zones, *zones)))
    agree = same_clock(before.zones[0], zones[0]) or zones[0] in before.zones
    return replace(before, zones=both, kind=before.kind if agree else "several")


def _our_names() -> dict[str, Meaning]:
    ours = {
        fold(name): _place((zones,) if isinstance(zones, str) else zones) for name, zones in PLACES.items()
    }
    for name, zone in CLOCKS.items():
        clock = _clock((zone, *cldr.metazones().get(cldr.metazone_of().get(zone, ""), ())))
        ours[fold(name)] = clock
        if f"{fold(name)} time" not in _clock_names():
            ours[f"{fold(name)} time"] = clock
    ours |= {fold(name): _clock(_family(zone), ABBREVIATION) for name, zone in CLEAR.items()}
    utc = Meaning("fixed", ("Etc/UTC",), OF_TZDATA, (timedelta(0),))
    ours |= dict.fromkeys(("universal time", "universal time utc", "utc utc", "utc time"), utc)
    ours |= {fold(name): Meaning("place", (GENEVA,), OF_A_PLACE) for name in GENEVA_NAMES}
    for name, zones in AMBIGUOUS.items():
        members = tuple(dict.fromkeys((*zones, *(one for zone in zones for one in _family(zone)))))
        ours[fold(name)] = Meaning("several", members, ABBREVIATION, likely=False)
    return ours


@lru_cache(maxsize=1024)
def close_names(plain: str) -> tuple[str, ...]:
    """Up to three zones with a name, city or clock spelled like this text, or like its part before a comma:
    "Nairobbi", "Nairobi, Atlantis"."""
    first = _APART.split(plain, maxsplit=1)[0].strip() or plain
    if (found := _whole(first)) and found.kind != "fixed":
        return found.zones[:3] if found.kind == "several" else found.zones[:1]
    names = _spellings().get(fold(plain)[:1], {})
    near = [name for name in names if abs(len(name) - len(plain)) <= 4]
    close = get_close_matches(fold(plain), near, n=3, cutoff=0.75)
    return tuple(dict.fromkeys(names[name] for name in close))[:3]


@cache
def _spellings() -> dict[str, dict[str, str]]:
    """The names compared with typing errors, by first letter: English ones, and tzdata's."""
    names = {fold(zone): canonical(zone) for zone in pytz.all_timezones if not zone.startswith("Etc/")}
    names |= {key: meaning.zones[0] for key, meaning in _city_names().items() if key.isascii()}
    names |= {fold(name): zone for name, zone in cldr.windows().items() if utc_offset(name) is None}
    names |= {f"{fold(name)} time": zone for name, zone in CLOCKS.items()}
    found: dict[str, dict[str, str]] = {}
    for name, zone in names.items():
        found.setdefault(name[:1], {})[name] = zone
    return found
