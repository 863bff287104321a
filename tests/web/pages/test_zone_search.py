"""A registrant finds their clock by the name of a city, a country or a clock, in their language."""

from __future__ import annotations

import pytest
import pytz

from scheduler.web.pages.words import LANGUAGES
from scheduler.web.pages.zone_search import MOST_FOUND, chosen_zone, place_of, search_zones
from tests.support import utc

SUMMER = utc("2025-07-03 11:00")


def zones(text: str, language: str = "en") -> list[str]:
    return [place.zone for place in search_zones(text, language, SUMMER).places]


@pytest.mark.parametrize(
    ("language", "text", "zone"),
    [
        ("en", "Nairobi", "Africa/Nairobi"),
        ("en", "  nairo ", "Africa/Nairobi"),
        ("en", "Mumbai", "Asia/Kolkata"),
        ("en", "mumb", "Asia/Kolkata"),
        ("en", "Geneva", "Europe/Zurich"),
        ("en", "Eastern Time", "America/New_York"),
        ("en", "America/New_York", "America/New_York"),
        ("en", "W. Europe Standard Time", "Europe/Berlin"),
        ("en", "Nairobbi", "Africa/Nairobi"),
        ("en", "cote d'ivoire", "Africa/Abidjan"),
        ("fr", "Genève", "Europe/Zurich"),
        ("fr", "Suisse", "Europe/Zurich"),
        ("fr", "etats-unis", "America/New_York"),
        ("es", "Etiopía", "Africa/Addis_Ababa"),
        ("ru", "Женева", "Europe/Zurich"),
        ("ru", "москва", "Europe/Moscow"),
        ("zh", "上海", "Asia/Shanghai"),
        ("zh", "肯尼亚", "Africa/Nairobi"),
        ("ar", "القاهرة", "Africa/Cairo"),
        ("ar", "المغرب", "Africa/Casablanca"),
        ("en", "UTC", "Etc/UTC"),
    ],
)
def test_a_place_is_found_by_its_name(language: str, text: str, zone: str) -> None:
    assert zone in zones(text, language)[:3]


def test_an_abbreviation_of_several_clocks_gives_each() -> None:
    assert {"America/Los_Angeles", "Asia/Manila"} <= {*zones("PST")}


def test_an_offset_gives_the_places_that_have_it_at_the_webinar() -> None:
    assert zones("+5:45") == ["Asia/Kathmandu"]
    assert search_zones("UTC+2", "en", SUMMER).more


def test_of_a_large_country_each_clock_comes_before_more_places_of_one() -> None:
    found = search_zones("United States", "en", SUMMER)
    assert found.more
    assert len(found.places) == MOST_FOUND
    assert {"America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles",
            "America/Anchorage", "Pacific/Honolulu"} <= {place.zone for place in found.places}  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "   ", "zzzz", "…", "\x00", "a" * 5000, "Москва" * 500, "'; DROP TABLE", "%"]
)
def test_whatever_is_typed_finds_nothing_or_something(text: str) -> None:
    for language in LANGUAGES:
        assert len(search_zones(text, language, SUMMER).places) <= MOST_FOUND


def test_a_place_is_named_in_the_readers_language() -> None:
    assert place_of(pytz.timezone("Europe/Moscow"), "zh").city == "莫斯科"
    assert place_of(pytz.timezone("US/Eastern"), "fr").country == "États-Unis"
    assert place_of(pytz.UTC, "ru").zone == "Etc/UTC"


@pytest.mark.parametrize(
    ("given", "zone"),
    [
        ("Africa/Nairobi", "Africa/Nairobi"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("UTC", "Etc/UTC"),
        ("Etc/GMT", "Etc/UTC"),
        ("Etc/GMT+5", None),
        ("EST", None),
        ("Mars/Olympus", None),
        ("africa/nairobi", None),
        ("", None),
        ("../../etc/passwd", None),
        ("x" * 100_000, None),
    ],
)
def test_only_a_place_can_be_chosen(given: str, zone: str | None) -> None:
    assert chosen_zone(given) == zone
