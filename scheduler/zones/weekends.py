"""On which days people in a zone don't work (CLDR's weekData, by territory). Pure."""

from __future__ import annotations

from functools import cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

_MOST_PLACES = frozenset({5, 6})


@cache
def weekend(zone: str) -> frozenset[int]:
    """The weekdays (Monday is 0) of the weekend in the territory of a tz name: Friday and Saturday in Cairo. Saturday
    and Sunday where it is in none, as UTC."""
    modern = get_global("zone_aliases").get(zone, zone)
    territory = get_global("zone_territories").get(modern, "")
    for language in get_global("territory_languages").get(territory, ()):
        try:
            there = Locale.parse(f"{language}_{territory}")
        except (UnknownLocaleError, ValueError):
            continue  # Babel has the days with a language of the territory, not with every one
        return frozenset(range(there.weekend_start, there.weekend_end + 1))
    return _MOST_PLACES
