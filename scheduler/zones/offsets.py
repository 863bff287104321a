"""Offsets from UTC: as people write them, and as a zone's clocks show them. Pure."""

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
    """The offset in a text like "UTC+5:30", "GMT-3", "+0545" or "GMT", positive east of Greenwich.

    "Etc/GMT-5" is none: it is a name of tzdata's, with the sign the other way round.
    """
    plain = tidy(text)
    if plain.upper() == "GMT":
        return timedelta(0)
    return _offset(match) if (match := _WHOLE.fullmatch(plain)) else None


def offsets_within(text: str) -> tuple[tuple[timedelta, ...], str]:
    """The distinct offsets in a tidy text, and the rest of it: "(GMT-5:00) Lima" gives -5 h and "Lima". Raises
    ValueError for an offset that no clock has."""
    found = [_offset(match) for match in _WITHIN.finditer(text)]
    rest = _WITHIN.sub(" ", text)
    if not found and _NONE.match(text):
        found, rest = [timedelta(0)], _NONE.sub(" ", text, count=1)
    offsets = tuple(dict.fromkeys(one for one in found if one is not None))
    if None in found:
        raise ValueError("no clock is so far from UTC")
    return offsets, rest


def zone_at_offset(offset: timedelta) -> str | None:
    """A zone at this offset in winter, or None: Etc/GMT-5 for +05:00 (tzdata inverts the sign)."""
    minutes = int(offset.total_seconds() // 60)
    if minutes % 60 == 0:
        return f"Etc/GMT{-minutes // 60:+d}" if minutes else "Etc/GMT"
    sign = "+" if minutes > 0 else "-"
    return FRACTIONAL.get(f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}")


def offset_at(zone: str, instant: datetime) -> timedelta:
    """The offset that clocks of a zone show at an instant."""
    return instant.astimezone(pytz.timezone(zone)).utcoffset() or timedelta(0)


def seasons(zone: str, instant: datetime) -> tuple[timedelta, timedelta]:
    """The offset at an instant, and that of the other half of the year."""
    return offset_at(zone, instant), offset_at(zone, instant + _HALF_A_YEAR)


@lru_cache(maxsize=1024)
def known_offsets(zone: str) -> frozenset[timedelta]:
    """The offsets that a zone's clocks have shown since 2000, and will by pytz's last rule: the lists of zones in other
    systems lag behind by years."""
    days = (datetime(year, month, 15, tzinfo=UTC) for year in range(2000, 2038) for month in (1, 4, 7, 10))
    return frozenset(offset_at(zone, day) for day in days)


def recent_offsets(zone: str) -> frozenset[timedelta]:
    """The offsets that a zone's clocks showed in 2024, and will show by the last known rule."""
    return frozenset(offset for year in _years(zone) for offset in year)


def same_clock(zone: str, other: str) -> bool:
    """Whether two zones had the same clock in all of 2024, or will have by the last known rules."""
    return zone == other or any(
        ours == theirs for ours, theirs in zip(_years(zone), _years(other), strict=True)
    )


@cache
def _years(zone: str) -> tuple[tuple[timedelta, ...], ...]:
    """The offsets of a zone in months of 2024, and in those of 2037."""
    months = (1, 3, 4, 7, 10, 11)
    return tuple(
        tuple(offset_at(zone, datetime(year, month, 15, tzinfo=UTC)) for month in months)
        for year in (2024, 2037)
    )


def _offset(match: re.Match[str]) -> timedelta | None:
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    return offset if _LEAST <= offset <= _MOST else None
