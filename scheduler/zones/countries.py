"""Countries as people write them, and the time zones in them. Pure.

Codes and zones come from tzdata's zone.tab (pytz), names from CLDR (Babel), so that they stay current by
themselves. What no database has, the zone in which most people of a country live, is a table here.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import pytz
from babel import Locale
from babel.core import get_global

# Kosovo has a code that everybody uses (XK) and that ISO 3166 and zone.tab don't have.
_EXTRA_ZONES = {"XK": ("Europe/Belgrade",)}

# Of every country with several zones, the one in which most of its people live. The first in zone.tab will
# not do: it is Lord Howe for Australia (400 people) and Noronha for Brazil.
MOST_PEOPLE = {
    "AQ": "Antarctica/McMurdo",
    "AR": "America/Argentina/Buenos_Aires",
    "AU": "Australia/Sydney",
    "BR": "America/Sao_Paulo",
    "CA": "America/Toronto",
    "CD": "Africa/Kinshasa",
    "CL": "America/Santiago",
    "CN": "Asia/Shanghai",
    "CY": "Asia/Nicosia",
    "DE": "Europe/Berlin",
    "EC": "America/Guayaquil",
    "ES": "Europe/Madrid",
    "FM": "Pacific/Chuuk",
    "GL": "America/Nuuk",
    "ID": "Asia/Jakarta",
    "KI": "Pacific/Tarawa",
    "KZ": "Asia/Almaty",
    "MH": "Pacific/Majuro",
    "MN": "Asia/Ulaanbaatar",
    "MX": "America/Mexico_City",
    "MY": "Asia/Kuala_Lumpur",
    "NZ": "Pacific/Auckland",
    "PF": "Pacific/Tahiti",
    "PG": "Pacific/Port_Moresby",
    "PS": "Asia/Gaza",
    "PT": "Europe/Lisbon",
    "RU": "Europe/Moscow",
    "UA": "Europe/Kyiv",
    "UM": "Pacific/Midway",
    "US": "America/New_York",
    "UZ": "Asia/Tashkent",
}

# Names that neither CLDR nor zone.tab has: the United Nations', and what people say.
_OTHER_NAMES = {
    "UK": "GB", "Great Britain": "GB", "England": "GB", "Scotland": "GB", "Wales": "GB",
    "Northern Ireland": "GB", "United Kingdom of Great Britain and Northern Ireland": "GB",
    "United States of America": "US", "America": "US", "UAE": "AE", "KSA": "SA", "DRC": "CD", "EL": "GR",
    "Kosovo": "XK", "XKX": "XK", "Bolivia (Plurinational State of)": "BO", "Brunei Darussalam": "BN",
    "Cabo Verde": "CV", "Congo": "CG", "Democratic Republic of the Congo": "CD", "Ivory Coast": "CI",
    "Czech Republic": "CZ", "Democratic People's Republic of Korea": "KP", "Holland": "NL",
    "Iran (Islamic Republic of)": "IR", "Lao People's Democratic Republic": "LA", "Macedonia": "MK",
    "Micronesia (Federated States of)": "FM", "Myanmar": "MM", "Burma": "MM", "Palestine": "PS",
    "State of Palestine": "PS", "Republic of Korea": "KR", "Korea": "KR", "Republic of Moldova": "MD",
    "Russian Federation": "RU", "Swaziland": "SZ", "Syrian Arab Republic": "SY", "Timor-Leste": "TL",
    "East Timor": "TL", "Turkey": "TR", "United Republic of Tanzania": "TZ",
    "Venezuela (Bolivarian Republic of)": "VE", "Viet Nam": "VN", "Hong Kong": "HK", "Macao": "MO",
    "Macau": "MO", "Vatican": "VA", "Holy See": "VA", "The Gambia": "GM", "The Bahamas": "BS",
}  # fmt: skip

_LANGUAGES = ("en", "fr", "es", "ar", "zh", "ru")


def country_code(text: str) -> str | None:
    """The ISO 3166 code (alpha-2, upper case) of a country given as alpha-2 or alpha-3 code or by its name.

    Names are understood in the six languages of the United Nations, without regard to case, accents and
    punctuation. None: no country is called so.
    """
    return _codes().get(_fold(text))


def country_zones(code: str) -> tuple[str, ...]:
    """The IANA names of the zones of a country (alpha-2, upper case), that of most of its people first."""
    zones = _EXTRA_ZONES.get(code) or tuple(pytz.country_timezones[code])
    first = MOST_PEOPLE.get(code, zones[0])
    return (first, *(zone for zone in zones if zone != first))


def _fold(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    words = "".join(c if c.isalnum() else " " for c in plain.replace("&", " and ").casefold()).split()
    return "".join(word for word in words if word not in ("the", "of"))


def _names() -> list[tuple[str, str]]:
    """Every (name or code, alpha-2 code) that is understood."""
    known = {*pytz.country_timezones, *_EXTRA_ZONES}
    names = [(code, code) for code in known]
    names += [(alias, codes[0]) for alias, codes in get_global("territory_aliases").items()
              if len(alias) == 3 and alias.isalpha() and len(codes) == 1]  # fmt: skip
    names += [(name, code) for code, name in pytz.country_names.items()]
    for language in _LANGUAGES:
        names += [(name, code) for code, name in Locale.parse(language).territories.items()]
    names += list(_OTHER_NAMES.items())
    return [(name, code) for name, code in names if code in known]


@cache
def _codes() -> dict[str, str]:
    codes: dict[str, str] = {}
    for name, code in _names():
        codes.setdefault(_fold(name), code)
    return codes
