"""What is typed into a registration form."""

from __future__ import annotations

import pytest

from scheduler.web.pages.entry import read_entry
from tests.support import webinar

ONE = webinar(languages=["en", "fr"], registration="open")


def wrong(**typed: str) -> dict[str, str]:
    return dict(read_entry(ONE, "en", {"name": "Ana", "address": "ana@who.int"} | typed).wrong)


@pytest.mark.parametrize("name", ["Ana", "José-María O'Neil", "王小明", "محمد", "J.R.R. Tolkien", "a" * 200])
def test_a_name_is_what_people_are_called(name: str) -> None:
    assert wrong(name=name) == {}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "name_missing"), (" \t", "name_missing"), ("https://evil.example/win", "name_unusable"),
        ("WWW.evil.example", "name_unusable"), ("{first_name}", "name_unusable"), ("123", "name_unusable"),
        ("a" * 201, "name_unusable"),
    ],
)  # fmt: skip
def test_a_link_is_no_name(name: str, why: str) -> None:
    assert wrong(name=name) == {"name": why}


def test_an_address_is_one_that_a_mail_can_carry() -> None:
    assert wrong(address="") == {"address": "address_missing"}
    assert wrong(address="ana@who") == {"address": "address_unusable"}
    assert wrong(address="ana@who.int, ben@who.int") == {"address": "address_unusable"}


def test_a_country_is_a_name_in_any_of_the_languages_or_a_code() -> None:
    for said in ("Kenya", "كينيا", "Кения", "肯尼亚", "ke", ""):
        assert wrong(country=said) == {}
    assert wrong(country="Atlantis") == {"country": "country_unknown"}


def test_a_zone_that_may_be_several_is_asked_about() -> None:
    entry = read_entry(ONE, "en", {"name": "Ana", "address": "ana@who.int", "zone": "San Juan"})
    assert entry.wrong == {"zone": "zone_unclear"}
    assert {"America/Puerto_Rico"} <= {place.zone for place in entry.places}
    assert wrong(zone="San Juan", country="Puerto Rico") == {}, "the country tells"
    assert wrong(zone="Xyzzy") == {"zone": "zone_unknown"}


def test_a_language_that_is_not_offered_is_the_first() -> None:
    assert read_entry(ONE, "en", {"language": "xx"}).language == "en"
    assert read_entry(ONE, "en", {"language": "fr"}).language == "fr"
