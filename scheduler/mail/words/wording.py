"""Times, zones, languages and lists in the words of one language (Babel's CLDR).

Pure. Instants are aware and in UTC. `language` is a BCP 47 tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_date, format_timedelta, get_month_names
from babel.lists import format_list

from scheduler.mail.words.phrases import Phrases, nearest_language, phrases
from scheduler.zones.wall import Zone, to_local

_REGIONS = frozenset(
    "Africa America Antarctica Arctic Asia Atlantic Australia Europe Indian Pacific".split()  # noqa: SIM905
)
_SOUNDS_AS_Y = re.compile(r"[ií]|h(?:i(?![ae])|í)", re.IGNORECASE)
"""Words before which Spanish uses "e" for "y", by ICU's rule: Instituto, Hidrología, but not hielo."""


def text_language(wanted: str | None, available: Iterable[str], first: str) -> str:
    """The language of the text for a reader of `wanted`: the nearest (`nearest_language`: "fr" for "fr-CH"), else
    the nearest to `first`, else English, else any. Raises ValueError if none is available."""
    texts = sorted(available)
    if not texts:
        raise ValueError("no text in any language")
    for tag in (wanted or "", first, "en"):
        if found := nearest_language(tag, texts):
            return found
    return texts[0]


@lru_cache(maxsize=64)
def locale(language: str) -> Locale:
    """Babel's locale for all dates, numbers, lists and names in a mail in `language`; English for a tag unknown to
    CLDR. English without a territory is British: "3 July 2025"."""
    tag = language.replace("_", "-")
    try:
        return Locale.parse("en-GB" if tag.casefold() == "en" else tag, sep="-")
    except (UnknownLocaleError, ValueError):
        return Locale("en", "GB")


def language_name(tag: str, language: str) -> str:
    """The name of the language `tag` in `language`: "English", "anglais"."""
    return str(locale(language).languages.get(tag.partition("-")[0].lower(), tag))


def listing(items: Sequence[str], language: str) -> str:
    """ "WHO, WIPO and WTO", "OMS, OMPI et OMC"."""
    text = str(format_list(list(items), locale=locale(language)))
    if len(items) > 1 and _is(language, "es") and _SOUNDS_AS_Y.match(items[-1]):
        return text.removesuffix(f" y {items[-1]}") + f" e {items[-1]}"  # not in CLDR's data
    return text


def offset_text(offset: timedelta) -> str:
    """ "UTC+2", "UTC-3:30", "UTC+0"."""
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")


@lru_cache(maxsize=512)
def full_date(day: date, language: str) -> str:
    """A date with weekday and year: "Thursday, 3 July 2025"; in Arabic with both names of the month."""
    if _is(language, "ar") and locale(language).territory is None:
        return _arabic_date(day)
    return str(format_date(day, "full", locale=locale(language)))


def _arabic_date(day: date) -> str:
    """A date in the United Nations' form, for readers from Iraq to Morocco: "3 تموز/يوليو 2025"."""
    levant, egypt = (get_month_names("wide", locale=Locale("ar", where)) for where in ("LB", "EG"))
    month = f"{levant[day.month]}/{egypt[day.month]}"
    return str(format_date(day, f"EEEE، d '{month}' y", locale=Locale("ar")))


@dataclass(frozen=True)
class Leaf:
    """The words on a leaf of a tear-off calendar: "JUL", "3", "Thu"."""

    month: str
    day: str
    weekday: str


@lru_cache(maxsize=512)
def _leaf(day: date, language: str) -> Leaf:
    month, weekday = (format_date(day, form, locale=locale(language)).rstrip(".") for form in ("LLL", "ccc"))
    return Leaf(month=month, day=str(day.day), weekday=weekday)


@dataclass(frozen=True)
class ClockTime:
    """A period as one clock shows it, in words; 24-hour times."""

    starts: str  # "13:00"
    ends: str
    first_day: str  # "Thursday, 3 July 2025"
    last_day: str  # the same, unless the period crosses midnight
    city: str  # "Nairobi", "" for zones without a place
    zone_name: str  # "East Africa Time", "" where CLDR has none
    offset: str  # "UTC+3"
    leaf: Leaf
    words: Phrases

    @property
    def crosses_midnight(self) -> bool:
        return self.first_day != self.last_day

    @property
    def hours(self) -> str:
        """ "13:00–15:00"."""
        return self.words.hours.format(starts=self.starts, ends=self.ends)

    @property
    def when(self) -> str:
        """ "Thursday, 3 July 2025, 13:00–15:00"; across midnight with both dates."""
        if self.crosses_midnight:
            return self.words.crossing_midnight.format(
                first_day=self.first_day, starts=self.starts, last_day=self.last_day, ends=self.ends
            )
        return f"{self.first_day}{self.words.comma}{self.hours}"

    @property
    def zone(self) -> str:
        """ "Nairobi, East Africa Time, UTC+3"."""
        return self.words.comma.join(part for part in (self.city, self.zone_name, self.offset) if part)

    @property
    def place(self) -> str:
        """The name of this clock: "Nairobi"; "UTC", "UTC+3" for zones without a place."""
        return self.city or self.offset.replace("UTC+0", "UTC")

    @property
    def zone_without_city(self) -> str:
        return self.words.comma.join(part for part in (self.zone_name, self.offset) if part)

    @property
    def beginning(self) -> str:
        """ "Thursday, 3 July 2025, 13:00 (Nairobi, UTC+3)", without the end of the period."""
        when, zone = f"{self.first_day}{self.words.comma}{self.starts}", (self.city, self.offset)
        return self.words.brackets.format(
            when=when, zone=self.words.comma.join(part for part in zone if part)
        )

    def __str__(self) -> str:
        return self.words.brackets.format(when=self.when, zone=self.zone)


@lru_cache(maxsize=256)  # all mails in a language show the webinar's own clock
def clock_time(
    start: datetime, end: datetime, zone: Zone, language: str, place: str | None = None
) -> ClockTime:
    """`start` to `end` (UTC) on a clock in `zone`. `place` replaces CLDR's city ("Geneva" for Zurich)."""
    begins, finishes = to_local(start, zone), to_local(end, zone)
    words = phrases(language)
    offsets = list(dict.fromkeys(offset_text(_offset(moment)) for moment in (begins, finishes)))
    return ClockTime(
        starts=f"{begins:%H:%M}",
        ends=f"{finishes:%H:%M}",
        first_day=full_date(begins.date(), language),
        last_day=full_date(finishes.date(), language),
        city=place_name(place, language) if place else city_name(zone, language),
        zone_name=zone_name(begins, zone, language),
        offset=_isolated("/".join(offsets), language),
        leaf=_leaf(begins.date(), language),
        words=words,
    )


@dataclass(frozen=True)
class TimeChange:
    """A new time and the former one, on the same clock."""

    now: str
    was: str
    """The former time, without its date if that is the same: "15:00–16:30"."""
    zone: str
    """The zone of both; "" if each names its own."""
    words: Phrases

    def __str__(self) -> str:
        """ "Thursday, 3 July 2025, 15:30–17:00, was 15:00–16:30 (Nairobi, East Africa Time, UTC+3)"."""
        both = f"{self.now}{self.words.was}{self.was}"
        return self.words.brackets.format(when=both, zone=self.zone) if self.zone else both


def time_change(now: ClockTime, was: ClockTime) -> TimeChange:
    """The change from `was` to `now`, on the clock of one zone; summer time may change its offset."""
    if now.zone != was.zone:
        return TimeChange(str(now), str(was), "", now.words)
    days = {now.first_day, now.last_day, was.first_day, was.last_day}
    return TimeChange(now.when, was.hours if len(days) == 1 else was.when, now.zone, now.words)


def right_to_left(language: str) -> bool:
    """Whether `language` is written from right to left (CLDR)."""
    return bool(locale(language).text_direction == "rtl")


def _isolated(latin: str, language: str) -> str:
    """`latin` between FSI and PDI in a right-to-left language, so that "UTC+3" keeps its order."""
    return f"\u2068{latin}\u2069" if right_to_left(language) else latin


def same_clock(start: datetime, end: datetime, one: Zone, other: Zone) -> bool:
    """Whether the clocks of both zones show the same time at `start` and at `end` (UTC)."""
    return all(_offset(to_local(moment, one)) == _offset(to_local(moment, other)) for moment in (start, end))


def place_name(place: str, language: str) -> str:
    """ "Geneva" in `language` (CLDR only has Zurich, which the zone is named after); any other place unchanged."""
    return phrases(language).geneva if place == "Geneva" else place


def city_name(zone: Zone, language: str) -> str:
    """The city in a zone's name, in CLDR's spelling; "" for zones without a place (UTC, EST5EDT)."""
    name = _modern(str(zone))
    if name.partition("/")[0] not in _REGIONS or "/" not in name:
        return ""
    known: Any = locale(language).time_zones.get(_cldr_id(name), {})
    return str(known.get("city") or name.rpartition("/")[2].replace("_", " "))


def zone_name(local: datetime, zone: Zone, language: str) -> str:
    """CLDR's name of the time in `zone` at `local` (aware): "East Africa Time"; "" if it has none."""
    key = _cldr_id(_modern(str(zone)))
    variant = "daylight" if _is_summer_time(local, zone) else "standard"
    names = locale(language)
    metazone: Any = names.meta_zones.get(get_global("meta_zones").get(key, ""), {})
    for known in (names.time_zones.get(key, {}), metazone):
        if name := known.get("long", {}).get(variant):
            return str(name)
    return ""


def time_left(now: datetime, start: datetime, end: datetime, zone: Zone, language: str) -> str:
    """The time until the webinar on the reader's clock: "in 3 days", "tomorrow", "in one hour", "in 40 minutes";
    "now" from start to end, then "yesterday", "3 days ago". Days are the reader's calendar days."""
    words = phrases(language)
    left = start - now
    if left <= timedelta(0):
        ongoing = words.now or _relative(timedelta(0), "minute", language)
        return ongoing if now < end else _days(end, now, zone, language)
    if left >= timedelta(hours=12):
        return _days(start, now, zone, language)
    minutes = max(1, round(left / timedelta(minutes=1)))
    if minutes > 10:
        minutes = 5 * round(minutes / 5)
    if minutes == 60:
        return words.in_one_hour or _relative(timedelta(hours=1), "hour", language)
    if minutes < 105:
        return _relative(timedelta(minutes=minutes), "minute", language)
    return _relative(timedelta(hours=round(left / timedelta(hours=1))), "hour", language)


def _days(moment: datetime, now: datetime, zone: Zone, language: str) -> str:
    days = (to_local(moment, zone).date() - to_local(now, zone).date()).days
    words = phrases(language)
    near = {0: words.today, 1: words.tomorrow, -1: words.yesterday}
    if days == 0 and not words.today:
        return _relative(timedelta(hours=round((moment - now) / timedelta(hours=1))), "hour", language)
    return near.get(days) or _relative(timedelta(days=days), "day", language)


@lru_cache(maxsize=512)
def _relative(delta: timedelta, unit: Any, language: str) -> str:
    # The threshold keeps Babel from choosing a larger unit ("in 1 week" for 7 days).
    text = str(
        format_timedelta(
            delta, granularity=unit, threshold=10**9, add_direction=True, locale=locale(language)
        )
    )
    # CLDR says "within 7 days", which does not fit a start.
    return text.replace("خلال ", "بعد ") if _is(language, "ar") else text


def _is(language: str, wanted: str) -> bool:
    return language.replace("_", "-").partition("-")[0].lower() == wanted


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta(0)


def _is_summer_time(local: datetime, zone: Zone) -> bool:
    """Whether summer time is in force. In tzdata Dublin's winter has a negative DST; people and CLDR say
    otherwise."""
    dst = local.dst() or timedelta(0)
    if dst:
        return dst > timedelta(0)
    halves = (to_local(datetime(local.year, month, 1, tzinfo=UTC), zone) for month in (1, 7))
    return any((half.dst() or timedelta(0)) < timedelta(0) for half in halves)


def _modern(name: str) -> str:
    """The present name of a zone: "America/New_York" for "US/Eastern", "Asia/Kolkata" for "Asia/Calcutta"."""
    return str(get_global("zone_aliases").get(name, name))


@lru_cache(maxsize=1)
def _cldr_ids() -> dict[str, str]:
    """CLDR's zone ids by present name: CLDR, and so Babel, keeps a zone's oldest name (Asia/Calcutta)."""
    known = get_global("meta_zones").keys() | Locale("fr").time_zones.keys() | Locale("en").time_zones.keys()
    return {new: old for old, new in get_global("zone_aliases").items() if old in known}


def _cldr_id(name: str) -> str:
    return _cldr_ids().get(name, name)
