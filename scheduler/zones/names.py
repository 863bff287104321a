"""What people call time zones, and which zone of the tz database they mean. Pure.

A *place* ("Europe/Zurich", "W. Europe Standard Time") says what a clock shows at any time. A *reading* says
less: an abbreviation may be that of several zones (IST), an offset does not say when summer time begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache, lru_cache

import pytz
from babel.core import get_global

Zone = pytz.BaseTzInfo

GENEVA = "Europe/Zurich"  # tzdata has one zone for all of Switzerland; its civil time is Geneva's

# "CET" in an announcement means the clock on a wall in Geneva, which shows CEST in July. tzdata's own CET is
# Brussels' clock now, was UTC+1 without end before 2024, and CEST is no name of tzdata's at all.
_GENEVA_NAMES = ("Geneva", "Genève", "Genf", "Ginebra", "Geneva time", "Geneva, Switzerland")
_CENTRAL_EUROPEAN = ("CET", "CEST", "MET", "MEST", "MEZ", "MESZ", "Central European Time",
                     "Central European Summer Time", "CET/CEST")  # fmt: skip

# Abbreviations of one zone only, or of several that always agree.
_CLEAR = {
    "CAT": "Africa/Maputo",
    "EAT": "Africa/Nairobi",
    "EDT": "America/New_York",
    "JST": "Asia/Tokyo",
    "KST": "Asia/Seoul",
    "MDT": "America/Denver",
    "MSK": "Europe/Moscow",
    "NZDT": "Pacific/Auckland",
    "NZST": "Pacific/Auckland",
    "PDT": "America/Los_Angeles",
    "SAST": "Africa/Johannesburg",
    "WAT": "Africa/Lagos",
    "WIB": "Asia/Jakarta",
    "WIT": "Asia/Jayapura",
    "WITA": "Asia/Makassar",
} | dict.fromkeys(_CENTRAL_EUROPEAN, GENEVA)

# Abbreviations of several zones that don't agree. tzdata knows EST and MST as Panama's and Phoenix' clock all
# year; who writes EST in July mostly means New York's, an hour ahead of that.
_AMBIGUOUS = {
    "ADT": ("America/Halifax", "Asia/Baghdad"),
    "AEST": ("Australia/Sydney", "Australia/Brisbane"),
    "AMT": ("America/Manaus", "Asia/Yerevan"),
    "AST": ("America/Halifax", "America/Puerto_Rico", "Asia/Riyadh"),
    "BST": ("Europe/London", "Asia/Dhaka", "Pacific/Bougainville"),
    "CDT": ("America/Chicago", "America/Havana"),
    "CST": ("America/Chicago", "Asia/Shanghai", "America/Havana"),
    "ECT": ("America/Guayaquil", "America/Puerto_Rico"),
    "EST": ("America/New_York", "America/Panama"),
    "GST": ("Asia/Dubai", "Atlantic/South_Georgia"),
    "IST": ("Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"),
    "MST": ("America/Denver", "America/Phoenix", "Asia/Kuala_Lumpur"),
    "PST": ("America/Los_Angeles", "Asia/Manila"),
    "SST": ("Pacific/Pago_Pago", "Asia/Singapore"),
    "WST": ("Australia/Perth", "Pacific/Apia"),
}

# Zones at a fraction of an hour, for which tzdata has no Etc/GMT name: where most people at that offset live.
_FRACTIONAL = {
    "-09:30": "Pacific/Marquesas",
    "-03:30": "America/St_Johns",
    "+03:30": "Asia/Tehran",
    "+04:30": "Asia/Kabul",
    "+05:30": "Asia/Kolkata",
    "+05:45": "Asia/Kathmandu",
    "+06:30": "Asia/Yangon",
    "+08:45": "Australia/Eucla",
    "+09:30": "Australia/Darwin",
    "+10:30": "Australia/Lord_Howe",
    "+12:45": "Pacific/Chatham",
}

# What Outlook and Teams show instead of cities: "(UTC-05:00) Eastern Time (US & Canada)".
_WINDOWS_TITLES = {
    "Alaska": "America/Anchorage",
    "Arizona": "America/Phoenix",
    "Astana": "Asia/Almaty",
    "Atlantic Time (Canada)": "America/Halifax",
    "Brasilia": "America/Sao_Paulo",
    "Cabo Verde Is.": "Atlantic/Cape_Verde",
    "Central America": "America/Guatemala",
    "Central Time (US & Canada)": "America/Chicago",
    "Coordinated Universal Time": "Etc/UTC",
    "Eastern Time (US & Canada)": "America/New_York",
    "Ekaterinburg": "Asia/Yekaterinburg",
    "Hawaii": "Pacific/Honolulu",
    "Indiana (East)": "America/Indiana/Indianapolis",
    "Mountain Time (US & Canada)": "America/Denver",
    "Newfoundland": "America/St_Johns",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
    "Saskatchewan": "America/Regina",
    "Sri Jayawardenepura": "Asia/Colombo",
    "West Central Africa": "Africa/Lagos",
}

_OFFSET = re.compile(r"(?:utc|gmt)? ?([+\-−–])(\d{1,2})(?:[:.]?([0-5]\d))?", re.IGNORECASE)
_WINDOWS_DISPLAY = re.compile(r"\((?:UTC|GMT)([+\-−]\d\d:\d\d)?\) ?(.+)", re.IGNORECASE)
_LONGEST_NAME = 100


class UnknownZone(ValueError):
    """A name that is no time zone, or that of several; `candidates` are IANA names that may be meant.

    The text never repeats `name`: a registrant may have typed anything there.
    """

    def __init__(self, name: str, reason: str, candidates: Iterable[str] = ()) -> None:
        self.name = name
        self.candidates = tuple(candidates)
        hint = f"; may be meant: {', '.join(self.candidates)}" if self.candidates else ""
        super().__init__(reason + hint)


def webinar_zone(name: str) -> Zone:
    """The zone that an organizer means; CET, CEST, MET and Geneva mean the clock on a wall in Geneva.

    "CET/Geneva time" is understood part by part: all parts must mean one zone. Raises UnknownZone.
    """
    try:
        return registrant_zone(name)
    except UnknownZone:
        parts = _parts(name)
        meant = {_lookup(part) for part in parts}
        if len(parts) == 1 or len(meant) != 1 or None in meant:
            raise
        return pytz.timezone(str(meant.pop()))


def zone_place(name: str) -> str | None:
    """"Geneva" where the name of a webinar's zone means Geneva's clock (so that mails name it and not
    Zurich), else None. "Europe/Zurich" and Windows' names stay what they are."""  # fmt: skip
    geneva = {_fold(part) for part in (*_GENEVA_NAMES, *_CENTRAL_EUROPEAN)}
    whole, parts = _fold(_tidy(name)), {_fold(part) for part in _parts(name)}
    return "Geneva" if whole in geneva or parts <= geneva else None


def registrant_zone(name: str) -> Zone:
    """The zone that a registrant means: an IANA name (any case, blanks for underscores), a Windows name or
    title, an abbreviation of one zone. It is returned under its present name (Kolkata, not Calcutta).

    Raises UnknownZone for anything else: abbreviations of several zones, and offsets from UTC, which don't
    say when summer time begins ("UTC-5" is New York in winter and Chicago in summer).
    """
    tidy = _tidy(name)
    if candidates := _AMBIGUOUS.get(tidy.upper()):
        raise UnknownZone(name, f"{tidy.upper()} is the abbreviation of several time zones", candidates)
    if utc_offset(tidy) is not None:
        raise UnknownZone(name, "an offset from UTC is not a time zone, as it does not say when summer time "
                                "begins: name that of a city, as in Europe/Zurich")  # fmt: skip
    if zone := _lookup(tidy) or _windows_display(tidy):
        return pytz.timezone(zone)
    raise UnknownZone(name, "not the name of a time zone", _close_names(tidy))


def canonical(name: str) -> str:
    """The present IANA name of a zone: Asia/Kolkata for Asia/Calcutta, America/New_York for US/Eastern."""
    return str(get_global("zone_aliases").get(name, name))


def utc_offset(text: str) -> timedelta | None:
    """The offset that a text like "UTC+5:30", "GMT-3", "+0545" or "GMT" gives, east of Greenwich positive.

    "Etc/GMT-5" is not one: that is a name of tzdata's, with the sign the other way round.
    """
    tidy = _tidy(text)
    if tidy.upper() == "GMT":
        return timedelta(0)
    if not (match := _OFFSET.fullmatch(tidy)):
        return None
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0)) * (1 if sign == "+" else -1)
    return offset if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None


def zone_at_offset(offset: timedelta) -> str | None:
    """A zone at this offset in winter, if there is one: Etc/GMT-5 for +05:00 (tzdata's sign is turned)."""
    minutes = int(offset.total_seconds() // 60)
    if minutes % 60 == 0:
        return f"Etc/GMT{-minutes // 60:+d}" if minutes else "Etc/GMT"
    sign = "+" if minutes > 0 else "-"
    return _FRACTIONAL.get(f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}")


def _parts(name: str) -> list[str]:
    """"CET" and "Geneva time" of "CET/Geneva time" or "Geneva time (CET)"."""  # fmt: skip
    return re.split(r" ?[/,(] ?", _tidy(name).rstrip(")"))


def _tidy(name: str) -> str:
    return " ".join(name.split())[:_LONGEST_NAME]


def _fold(name: str) -> str:
    return name.replace(" ", "_").casefold()


def _windows() -> Mapping[str, str]:
    """Windows' names, and the zones that they mean. All of icalendar is loaded for them, which takes a while."""
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    return WINDOWS_TO_OLSON


@cache
def _known() -> dict[str, str]:
    """Folded name to present IANA name. Later entries win: what we know better than tzdata comes last."""
    names = {windows: zone for windows, zone in _windows().items() if utc_offset(windows) is None}
    names |= {zone: zone for zone in pytz.all_timezones}
    names |= _CLEAR | dict.fromkeys(_GENEVA_NAMES, GENEVA)
    return {_fold(name): canonical(zone) for name, zone in names.items()}


def _lookup(tidy: str) -> str | None:
    return None if tidy.upper() in _AMBIGUOUS else _known().get(_fold(tidy))


@cache
def _cities() -> dict[str, set[str]]:
    """Folded name of a city ("new_york") to the zones called after it."""
    cities: dict[str, set[str]] = {}
    for zone in pytz.all_timezones:
        if "/" in zone and not zone.startswith("Etc/"):
            cities.setdefault(_fold(zone.rsplit("/", 1)[1]), set()).add(canonical(zone))
    return cities


def _windows_display(tidy: str) -> str | None:
    """The zone of "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna": Windows' own choice for
    the first of its cities that has one there, else that of the first city at that standard offset."""
    if not (match := _WINDOWS_DISPLAY.fullmatch(tidy)):
        return None
    offset = utc_offset(match[1] or "GMT")
    titles = {_fold(title): zone for title, zone in _WINDOWS_TITLES.items()}
    if zone := titles.get(_fold(match[2])):
        return zone if offset in _standard_offsets(zone) else None
    zones = [zone for city in match[2].split(",") for zone in _cities().get(_fold(city.strip()), ())
             if offset in _standard_offsets(zone)]  # fmt: skip
    chosen = {canonical(zone) for zone in _windows().values()}
    return next((zone for zone in zones if zone in chosen), zones[0] if zones else None)


def _standard_offsets(zone: str) -> set[timedelta]:
    """The offsets outside summer time, of late and by the last rule that pytz knows: titles lag behind."""
    tz = pytz.timezone(zone)
    seasons = [
        [datetime(year, month, 1, tzinfo=UTC).astimezone(tz) for month in (1, 7)] for year in (2025, 2037)
    ]
    return {min(day.utcoffset() or timedelta(0) for day in days) for days in seasons}


@lru_cache(maxsize=1024)
def _close_names(tidy: str) -> tuple[str, ...]:
    """Up to three zones whose name, or whose city's name, is like this one, or like what it says before "time" or a
    comma: "Nairobi time", "Nairobi, Kenya"."""
    plain = re.sub(r" (local |standard )?time$", "", re.split(r" ?[,(]", tidy)[0], flags=re.IGNORECASE)
    if known := _lookup(plain):
        return (known,)
    if cities := _cities().get(_fold(plain)):
        return tuple(sorted(cities))[:3]
    by_name = {_fold(zone): {canonical(zone)} for zone in pytz.all_timezones} | _cities()
    close = get_close_matches(_fold(plain), by_name, n=3, cutoff=0.75)
    return tuple(dict.fromkeys(zone for name in close for zone in sorted(by_name[name])))[:3]
