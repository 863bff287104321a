"""Names of zones and countries compared with independent sources, as figures: python -m tests.zones.judges."""

from __future__ import annotations

import gettext
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pycountry
import pytz
from babel import Locale
from babel.core import get_global
from tzlocal.windows_tz import tz_win

from scheduler.zones.countries import country_code, zones_of_countries
from scheduler.zones.wall import ResolvedZone, Zone, to_local, zone_of
from tests.zones import lists

JULY, JANUARY = datetime(2025, 7, 3, 11, tzinfo=UTC), datetime(2026, 1, 15, 12, tzinfo=UTC)
NOBODYS = pytz.timezone("Antarctica/Troll")  # the zone of the webinar: nobody means it
WINDOWS_ZONES = {**get_global("windows_zone_mapping")}


@dataclass
class Figures:
    """Of how many names how many are right, assumed or asked about, and which are wrong."""

    judge: str
    right: int = 0
    asked: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        of = self.right + len(self.asked) + len(self.wrong)
        doubtful, wrong = len(self.asked), len(self.wrong)
        return f"{self.judge}: of {of} {self.right} right, {doubtful} assumed or asked about, {wrong} wrong"

    def zone(self, name: str, found: ResolvedZone, meant: str, at: datetime, *, then: bool = False) -> None:
        """`then`: it is enough that they agree at that moment, as Mexico City and Matamoros do in winter."""
        if found.known_by in ("assumed", "webinar"):
            self.asked[name] = f"{found.zone}, {found.problem}"
        elif same_clock(found.zone, meant, at, then=then):
            self.right += 1
        else:
            self.wrong[name] = f"{found.zone}, not {meant}"

    def country(self, name: str, code: str) -> None:
        found = country_code(name)
        if found == code:
            self.right += 1
        elif found is None:
            self.asked[name] = code
        else:
            self.wrong[name] = f"{found}, not {code}"


def same_clock(zone: str, other: str, at: datetime, *, then: bool = False) -> bool:
    """At that moment, and half a year later: a zone that only agrees by chance is another one."""
    ours, theirs = pytz.timezone(zone), pytz.timezone(other)
    days = (at,) if then else (at, at + timedelta(days=182))
    return all(_offset(day, ours) == _offset(day, theirs) for day in days)


def _offset(day: datetime, zone: Zone) -> timedelta | None:
    return to_local(day, zone).utcoffset()


def _alone(judge: str, names: Iterator[tuple[str, str]], at: datetime) -> Figures:
    figures = Figures(judge)
    for name, meant in names:
        figures.zone(name, zone_of(name, None, NOBODYS, at), meant, at)
    return figures


def rails(at: datetime) -> Figures:
    names = ((name, zone) for zone, names in lists.RAILS.items() for name in names.split("|"))
    return _alone("Rails' names", names, at)


def windows_titles(at: datetime) -> Figures:
    names = ((title, WINDOWS_ZONES[name]) for name, title in lists.WINDOWS.items())
    return _alone("Windows' titles", names, at)


def old_windows_titles(at: datetime) -> Figures:
    return _alone("Windows' old titles", iter(lists.OLD_WINDOWS.items()), at)


def windows_names(at: datetime) -> Figures:
    return _alone("Windows' names", iter(WINDOWS_ZONES.items()), at)


def zoom(at: datetime) -> Figures:
    return _alone("Zoom's list", ((title, zone) for zone, title in lists.ZOOM.items()), at)


def others(at: datetime) -> Figures:
    return _alone("other lists", iter(lists.OTHERS.items()), at)


def salesforce(at: datetime) -> Figures:
    """Every zone as Salesforce and Java spell it: with its offset of the day, CLDR's name of its clock, and its own."""
    english = Locale.parse("en")

    def names() -> Iterator[tuple[str, str]]:
        for zone in pytz.common_timezones:
            local = to_local(at, pytz.timezone(zone))
            metazone = get_global("meta_zones").get(zone, "")
            long = english.meta_zones[metazone]["long"] if metazone in english.meta_zones else {}
            clock = long.get(
                "daylight" if local.dst() else "standard", long.get("standard", zone.split("/")[-1])
            )
            yield f"(GMT{local:%z}) {clock} ({zone})".replace("00)", ":00)", 1), zone

    return _alone("zones as Salesforce spells them", names(), at)


def windows_by_country(at: datetime) -> Figures:
    """CLDR's windowsZones by tzlocal: the Windows name that each zone has, with the country that the zone lies in."""
    figures = Figures("Windows' names with a country")
    for zone, name in sorted(tz_win.items()):
        if code := zones_of_countries().get(zone):
            found = zone_of(name, code, NOBODYS, at)
            meant = WINDOWS_ZONES.get(name, zone)
            if same_clock(zone, meant, at):  # or the judge lags behind the tz database, as for Casey
                figures.zone(f"{name}, {code}, for {zone}", found, zone, at, then=True)
    return figures


def zones_in_english(at: datetime) -> Figures:
    """Every city of tzdata with its country, as people write them: "Nairobi, Kenya"."""
    territories = Locale.parse("en").territories
    names = (
        (f"{zone.rsplit('/', 1)[1].replace('_', ' ')}, {territories[code]}", zone)
        for zone, code in sorted(zones_of_countries().items())
    )
    return _alone("cities with their countries", names, at)


def iso_countries() -> Figures:
    figures = Figures("ISO 3166's names and codes of countries")
    for country in pycountry.countries:
        for key in ("name", "official_name", "common_name", "alpha_2", "alpha_3", "numeric"):
            if name := getattr(country, key, None):
                figures.country(name, country.alpha_2)
    return figures


def countries_in(language: str) -> Figures:
    """ISO's names by the translations that pycountry carries."""
    translated = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language]).gettext
    figures = Figures(f"ISO 3166's names in {language}")
    for country in pycountry.countries:
        for key in ("name", "official_name", "common_name"):
            if name := getattr(country, key, None):
                figures.country(translated(name), country.alpha_2)
    return figures


Judge = Callable[[datetime], Figures]
ZONES: tuple[Judge, ...] = (
    rails, windows_titles, old_windows_titles, windows_names, zoom, others, salesforce, windows_by_country,
    zones_in_english,
)  # fmt: skip
LANGUAGES = ("fr", "es", "ar", "zh_CN", "ru", "de", "pt", "it", "ja", "tr")


if __name__ == "__main__":
    found = [judge(at) for judge in ZONES for at in (JULY, JANUARY)]
    for figures in (*found, iso_countries(), *map(countries_in, LANGUAGES)):
        print(figures, *(f"  WRONG {name}: {said}" for name, said in figures.wrong.items()), sep="\n")
        print(*(f"  asked {name}: {said}" for name, said in list(figures.asked.items())[:12]), sep="\n")
