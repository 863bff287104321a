"""Weekends by zone (CLDR's weekData, by territory). Pure."""

from __future__ import annotations

from functools import cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

_MOST_PLACES = frozenset({5, 6})


@cache
def weekend(zone: str) -> frozenset[int]:
    """The weekdays (Monday is 0) of the weekend in a zone's territory: Friday and Saturday in Cairo. Saturday and
    Sunday for a zone without a territory, such as UTC."""
    modern = get_global("zone_aliases").get(zone, zone)
    territory = get_global("zone_territories").get(modern, "")
    for language in get_global("territory_languages").get(territory, ()):
        try:
            locale = Locale.parse(f"{language}_{territory}")
        except (UnknownLocaleError, ValueError):
            continue  # Babel has locales for some of a territory's languages only
        return frozenset(range(locale.weekend_start, locale.weekend_end + 1))
    return _MOST_PLACES
