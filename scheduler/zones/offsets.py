"""Offsets from UTC: in what people write, and those that a zone's clocks show. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache

import pytz

from scheduler.zones.folding import tidy
from scheduler.zones.tables import FRACTIONAL

_SIGNED = r"(\+/-|[+±-]) ?(\d{1,2})(?:[:.]?([0-5]\d)(?::00)?)?"
_WHOLE = re.compile(rf"(?:(?:utc|gmt) ?)?{_SIGNED}", re.IGNORECASE)
_WITHIN = re.compile(rf"(?:\b(?:utc|gmt) ?)?(?<![\d.]){_SIGNED}(?![\d.])", re.IGNORECASE)
_NONE = re.compile(r"[(\[](?:utc|gmt)[)\]] ?", re.IGNORECASE)
_LEAST, _MOST = timedelta(hours=-12), timedelta(hours=14)
_HALF_A_YEAR = timedelta(days=182)


def utc_offset(text: str) -> timedelta | None:
    """The offset that a text like "UTC+5:30", "GMT-3", "+0545" or "GMT" gives, east of Greenwich positive.

    "Etc/GMT-5" is not one: that is a name of tzdata's, with the sign the other way round.
    """
    plain = tidy(text)
    if plain.upper() == "GMT":
        return timedelta(0)
    return _offset(match) if (match := _WHOLE.fullmatch(plain)) else None


def offsets_within(text: str) -> tuple[tuple[timedelta, ...], str]:
    """The offsets in a tidy text, each once, and what it says besides: "(GMT-5:00) Lima" is -5 and "Lima". Raises
    ValueError for one that no clock has."""
    found = [_offset(match) for match in _WITHIN.finditer(text)]
    rest = _WITHIN.sub(" ", text)
    if not found and _NONE.match(text):
        found, rest = [timedelta(0)], _NONE.sub(" ", text, count=1)
    offsets = tuple(dict.fromkeys(one for one in found if one is not None))
    if None in found:
        raise ValueError("no clock is so far from UTC")
    return offsets, rest


def zone_at_offset(offset: timedelta) -> str | None:
    """A zone at this offset in winter, if there is one: Etc/GMT-5 for +05:00 (tzdata's sign is turned)."""
    minutes = int(offset.total_seconds() // 60)
    if minutes % 60 == 0:
        return f"Etc/GMT{-minutes // 60:+d}" if minutes else "Etc/GMT"
    sign = "+" if minutes > 0 else "-"
    return FRACTIONAL.get(f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}")


def shown(zone: str, instant: datetime) -> timedelta:
    """The offset that clocks of a zone show at an instant."""
    return instant.astimezone(pytz.timezone(zone)).utcoffset() or timedelta(0)


def seasons(zone: str, instant: datetime) -> tuple[timedelta, timedelta]:
    """The offset at an instant, and that of the other half of the year."""
    return shown(zone, instant), shown(zone, instant + _HALF_A_YEAR)


@lru_cache(maxsize=1024)
def ever(zone: str) -> frozenset[timedelta]:
    """The offsets that its clocks have shown since 2000, and will by the last rule that pytz knows: lists of zones that
    systems show lag behind by years."""
    days = (datetime(year, month, 15, tzinfo=UTC) for year in range(2000, 2038) for month in (1, 4, 7, 10))
    return frozenset(shown(zone, day) for day in days)


def of_late(zone: str) -> frozenset[timedelta]:
    """The offsets that its clocks showed in 2024, and will show by the last rule that is known."""
    return frozenset(offset for year in _years(zone) for offset in year)


def akin(zone: str, other: str) -> bool:
    """Whether two zones had the same clock in all of 2024, or will by the last rules that are known."""
    return zone == other or any(
        ours == theirs for ours, theirs in zip(_years(zone), _years(other), strict=True)
    )


@cache
def _years(zone: str) -> tuple[tuple[timedelta, ...], ...]:
    """What its clocks showed in the months of 2024, and what they will show in those of 2037."""
    months = (1, 3, 4, 7, 10, 11)
    return tuple(
        tuple(shown(zone, datetime(year, month, 15, tzinfo=UTC)) for month in months) for year in (2024, 2037)
    )


def _offset(match: re.Match[str]) -> timedelta | None:
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    return offset if _LEAST <= offset <= _MOST else None
