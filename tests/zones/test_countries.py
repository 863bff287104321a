"""Countries as people write them."""

from __future__ import annotations

import pytest
import pytz
from babel import Locale

from scheduler.zones.countries import MOST_PEOPLE, _fold, _names, country_code, country_zones


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CH", "CH"), ("ch", "CH"), (" Ch ", "CH"), ("CHE", "CH"), ("Switzerland", "CH"), ("SUISSE", "CH"),
        ("UK", "GB"), ("uk", "GB"), ("GBR", "GB"), ("United Kingdom", "GB"), ("Scotland", "GB"),
        ("USA", "US"), ("U.S.A.", "US"), ("United States of America", "US"), ("the Netherlands", "NL"),
        ("Russian Federation", "RU"), ("Россия", "RU"), ("中国", "CN"), ("الصين", "CN"), ("España", "ES"),
        ("Espana", "ES"), ("Türkiye", "TR"), ("Turkey", "TR"), ("Viet Nam", "VN"), ("Vietnam", "VN"),
        ("Côte d’Ivoire", "CI"), ("cote d'ivoire", "CI"), ("Bosnia & Herzegovina", "BA"),
        ("Bosnia and Herzegovina", "BA"), ("Korea (South)", "KR"), ("Republic of Korea", "KR"),
        ("Iran (Islamic Republic of)", "IR"), ("DR Congo", None), ("Democratic Republic of the Congo", "CD"),
        ("Kosovo", "XK"), ("xk", "XK"), ("Atlantis", None), ("", None), ("?", None), ("ZZ", None),
    ],
)  # fmt: skip
def test_codes_and_names_in_six_languages(text: str, code: str | None) -> None:
    assert country_code(text) == code


@pytest.mark.parametrize("language", ["en", "fr", "es", "ar", "zh", "ru"])
def test_every_country_that_has_a_zone_is_known_by_its_name(language: str) -> None:
    names = Locale.parse(language).territories
    assert {code: country_code(names[code]) for code in pytz.country_timezones} == {
        code: code for code in pytz.country_timezones
    }


def test_every_country_has_a_code_of_three_letters() -> None:
    assert {code for name, code in _names() if len(name) == 3 and name.isupper()} >= {*pytz.country_timezones}


def test_no_name_means_two_countries() -> None:
    meanings: dict[str, set[str]] = {}
    for name, code in _names():
        meanings.setdefault(_fold(name), set()).add(code)
    assert [name for name, codes in meanings.items() if len(codes) > 1] == []


def test_the_table_of_where_most_people_live_is_complete_and_has_nothing_else() -> None:
    several = {code for code, zones in pytz.country_timezones.items() if len(zones) > 1}
    assert {*MOST_PEOPLE} == several
    assert [code for code, zone in MOST_PEOPLE.items() if zone not in pytz.country_timezones[code]] == []


def test_the_zone_of_most_people_comes_first_and_none_is_lost() -> None:
    assert country_zones("AU")[0] == "Australia/Sydney"
    assert sorted(country_zones("AU")) == sorted(pytz.country_timezones["AU"])
    assert country_zones("XK") == ("Europe/Belgrade",)
