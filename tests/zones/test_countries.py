"""Countries as people write them."""

from __future__ import annotations

import pytest
import pytz
from babel import Locale

from scheduler.zones.countries import _key, _known, _names, _short, country_code, country_zones
from scheduler.zones.tables import COUNTRIES, MOST_PEOPLE
from tests.zones import judges


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
        ("Iran (Islamic Republic of)", "IR"), ("DR Congo", "CD"), ("Democratic Republic of the Congo", "CD"),
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
    assert {code for name, code in _short().items() if len(name) == 3} >= {*pytz.country_timezones}


def test_no_name_means_two_countries() -> None:
    meanings: dict[str, set[str]] = {}
    for name, code in _names():
        if code in _known():
            meanings.setdefault(_key(name), set()).add(code)
    assert [name for name, codes in meanings.items() if len(codes) > 1] == []


def test_the_table_of_where_most_people_live_is_complete_and_has_nothing_else() -> None:
    several = {code for code, zones in pytz.country_timezones.items() if len(zones) > 1}
    assert {*MOST_PEOPLE} == several
    assert [code for code, zone in MOST_PEOPLE.items() if zone not in pytz.country_timezones[code]] == []


def test_the_zone_of_most_people_comes_first_and_none_is_lost() -> None:
    assert country_zones("AU")[0] == "Australia/Sydney"
    assert sorted(country_zones("AU")) == sorted(pytz.country_timezones["AU"])
    assert country_zones("XK") == ("Europe/Belgrade",)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        # ISO's, with the words in its order
        ("Korea, Republic of", "KR"), ("Korea, Democratic People's Republic of", "KP"), ("Republic of Korea", "KR"),
        ("Congo, Democratic Republic of the", "CD"), ("Congo, The Democratic Republic of the", "CD"),
        ("Congo", "CG"), ("Congo, Republic of the", "CG"), ("Netherlands (Kingdom of the)", "NL"),
        ("Netherlands, Kingdom of the", "NL"), ("Palestine, State of", "PS"), ("Tanzania, United Republic of", "TZ"),
        ("Micronesia, Federated States of", "FM"), ("Iran, Islamic Republic of", "IR"),
        ("Moldova, Republic of", "MD"),
        ("Bolivia, Plurinational State of", "BO"), ("Venezuela, Bolivarian Republic of", "VE"), ("Viet Nam", "VN"),
        ("Taiwan, Province of China", "TW"), ("Virgin Islands, British", "VG"), ("Virgin Islands, U.S.", "VI"),
        ("Saint Martin (French part)", "MF"), ("Sint Maarten (Dutch part)", "SX"),
        ("Holy See (Vatican City State)", "VA"),
        # the World Bank's, Zoom's, and short ones
        ("Lao PDR", "LA"), ("Korea, Rep.", "KR"), ("Korea, Dem. People's Rep.", "KP"), ("Congo, Dem. Rep.", "CD"),
        ("Egypt, Arab Rep.", "EG"), ("Yemen, Rep.", "YE"), ("Iran, Islamic Rep.", "IR"), ("Venezuela, RB", None),
        ("St. Lucia", "LC"), ("St Lucia", "LC"), ("St. Kitts & Nevis", "KN"), ("Hong Kong SAR", "HK"),
        ("Macao SAR", "MO"),
        ("West Bank and Gaza", "PS"), ("South Korea", "KR"), ("S. Korea", "KR"), ("U.S.", "US"), ("U.A.E.", "AE"),
        ("P.R. China", "CN"), ("Republic of China", "TW"), ("People's Republic of China", "CN"), ("756", "CH"),
        # official ones, by their words for the form of a state
        ("Kingdom of Sweden", "SE"), ("Federal Republic of Germany", "DE"), ("Swiss Confederation", "CH"),
        ("Republic of Kenya", "KE"), ("The Republic of the Gambia", "GM"), ("Commonwealth of Dominica", "DM"),
        ("Dominican Republic", "DO"), ("Republic of Ireland", "IE"), ("Republic of Guinea", "GN"),
        ("Kyrgyz Republic", "KG"), ("Hashemite Kingdom of Jordan", "JO"), ("State of Qatar", "QA"),
        ("República Federativa do Brasil", "BR"), ("República de Colombia", "CO"), ("Royaume du Maroc", "MA"),
        ("République démocratique du Congo", "CD"), ("République du Congo", "CG"),
        ("Bundesrepublik Deutschland", "DE"),
        ("Российская Федерация", "RU"), ("Республика Казахстан", "KZ"), ("中华人民共和国", "CN"),
        ("新加坡共和国", "SG"),
        ("朝鲜民主主义人民共和国", "KP"), ("جمهورية مصر العربية", "EG"), ("المملكة العربية السعودية", "SA"),
        # in languages of countries
        ("Deutschland", "DE"), ("Schweiz", "CH"), ("Svizzera", "CH"), ("Schweiz/Suisse/Svizzera", "CH"),
        ("Suomi", "FI"),
        ("Österreich", "AT"), ("Magyarország", "HU"), ("Ελλάδα", "GR"), ("日本", "JP"), ("대한민국", "KR"),
        ("한국", "KR"),
        ("भारत", "IN"), ("ไทย", "TH"), ("ישראל", "IL"), ("საქართველო", "GE"), ("Հայաստան", "AM"), ("Україна", "UA"),
        ("Türkiye", "TR"), ("ایران", "IR"), ("Việt Nam", "VN"), ("Brasil", "BR"), ("Ísland", "IS"),
        ("Hrvatska", "HR"),
        # as forms give them
        ("🇰🇪", "KE"), ("🇰🇪 Kenya", "KE"), ("CH - Switzerland", "CH"), ("Switzerland (CH)", "CH"),
        ("&Aring;land", "AX"),
        ("\u202aKenya\u202c", "KE"), ("KENYA\xa0", "KE"), ("“Kenya”", "KE"),
        # what says no country, or may be several
        ("State of Georgia", None), ("Paris, Texas", None), ("Geneva, Switzerland", None), ("Georgia, USA", None),
        ("Mỹ", None), ("Bỉ", "BE"), ("n/a", None), ("Other", None), ("EU", None), ("Europe", None), ("-", None),
        ("Kenya" * 50, None), ("Republic of", None), ("Virgin Islands", None), ("001", None), ("ana@example.org", None),
    ],
)  # fmt: skip
def test_names_as_systems_and_people_write_them(text: str, code: str | None) -> None:
    assert country_code(text) == code


def test_every_name_and_code_of_iso_3166_is_known() -> None:
    """pycountry has them: 249 short names, 173 official ones, and 16 that are common."""
    figures = judges.iso_countries()
    assert (figures.asked, figures.wrong) == ({}, {})
    assert figures.right > 1100


@pytest.mark.parametrize("language", judges.LANGUAGES)
def test_no_translation_of_an_iso_name_is_taken_for_another_country(language: str) -> None:
    """By the translations of Debian's iso-codes; what is not understood is reported to whoever imports."""
    figures = judges.countries_in(language)
    assert figures.wrong == {}
    assert figures.right > len(figures.asked), str(figures)


def test_what_our_own_table_says_is_not_overruled() -> None:
    assert [name for name, code in COUNTRIES.items() if country_code(name) != code] == []


def test_countries_without_a_zone_have_no_inhabitants() -> None:
    assert {code for code in _known() if not country_zones(code)} == {"BV", "HM"}
