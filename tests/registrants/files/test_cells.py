"""Cells as people and programs fill them in, and what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler.registrants.files.cells import (
    Order,
    clean_address,
    clean_cell,
    clean_name_of,
    instant,
    joined,
    without_affiliation,
)

NEA = "nea@example.org"

CLEANED = [
    "Nea <nea@example.org>",
    '"Berg, Nea" <nea@example.org>',
    "<nea@example.org>",
    "mailto:nea@example.org",
    "MAILTO:nea@example.org?subject=Hello",
    "Nea <mailto:nea@example.org>",
    "nea@example.org;",
    "nea@example.org,",
    "nea@example.org.",
    "nea@example.org; ",
    "\u200bnea@example.org",
    "nea@\u200bexample.org",
    "\u202anea@example.org\u202c",
    "\u200enea@example.org",
    "\ufeffnea@example.org",
    "nea@exa\u00admple.org",
    "\u00a0nea@example.org\u00a0",
    "\u3000nea@example.org",
    "nea@example.org\t",
    "nea@example.org\r\n",
    "nea＠example.org",
    "ｎｅａ＠ｅｘａｍｐｌｅ．ｏｒｇ",
    "nea@example。org",
    "'nea@example.org",
    "'nea@example.org'",
    '="nea@example.org"',
    '"nea@example.org"',
    "“nea@example.org”",
    "(nea@example.org)",
    "nea@example.org (Nea)",
    "[nea@example.org](mailto:nea@example.org)",
    '<a href="mailto:nea@example.org">nea@example.org</a>',
    '=HYPERLINK("mailto:nea@example.org","nea@example.org")',
    "nea@example.org; nea@example.org",
    "nea@example.org nea@EXAMPLE.org",
    "E-mail: nea@example.org",
]


@pytest.mark.parametrize("cell", CLEANED)
def test_an_address_is_cleaned_of_what_does_not_belong_to_it_and_that_is_known(cell: str) -> None:
    found = clean_address(cell)
    assert (found.address, found.problem, found.cleaned) == (NEA, "", True)


@pytest.mark.parametrize(
    "address",
    [
        NEA,
        "o'neil@example.org",
        "nea+webinar@example.org",
        "nea@münchen.example",
        "néa@example.org",
        "n_e.a@ex-a.example",
    ],
)
def test_an_address_that_is_one_stays_as_it_is(address: str) -> None:
    found = clean_address(address)
    assert (found.address, found.problem, found.cleaned) == (address, "", False)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("Nea Berg <nea@example.org>", "Nea Berg"),
        ("nea@example.org (Nea Berg)", "Nea Berg"),
        ("N/A <nea@example.org>", ""),
        (NEA, ""),
        ("E-mail: nea@example.org", ""),
    ],
)
def test_the_name_beside_an_address_is_known(cell: str, name: str) -> None:
    assert clean_address(cell).name == name


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("nea@example.org; neo@example.org", "holds two addresses"),
        ("nea@example.org neo@example.org", "holds two addresses"),
        ("nea@example.org / neo@example.org", "holds two addresses"),
        ("nea@example.org or neo@example.org", "holds two addresses"),
        ("nea@example.org\nneo@example.org", "holds two addresses"),
        ("nea(at)example.org", "email is not an address"),
        ("nea at example.org", "email is not an address"),
        ("nea @example.org", "email is not an address"),
        ("nea@example", "email is not an address"),
        ("nea@example..org", "email is not an address"),
        ("nea@example,org", "email is not an address"),
        ("anonymous", "email is not an address"),
        ("N/A", "email is empty"),
        ("--", "email is empty"),
        ("", "email is empty"),
        ("\u200b", "email is empty"),
    ],
)
def test_what_is_no_address_or_two_is_not_guessed(cell: str, problem: str) -> None:
    assert clean_address(cell).problem == problem


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("O'Neil", "O'Neil"),
        ("Anna & Ben Berg", "Anna & Ben Berg"),
        ("Anna &amp; Ben Berg", "Anna & Ben Berg"),
        ("Se&#225;n O&#39;Neil", "Seán O'Neil"),
        ("JosÃ© Ã‘Ãºñez", "JosÃ© Ã‘Ãºñez"),  # not all of it was encoded twice
        ("JosÃ© Ruiz", "José Ruiz"),
        ("'Ana Ruiz", "Ana Ruiz"),
        ("'t Hooft", "'t Hooft"),
        ('="Ana Ruiz"', "Ana Ruiz"),
        ("  Ana\u00a0 Ruiz\u200b ", "Ana Ruiz"),
        ("क्\u200dष", "क्\u200dष"),
        ("Anna (Annie) Berg", "Anna (Annie) Berg"),
        ("Ana undefined", "Ana"),
        ("null Ruiz", "Ruiz"),
        ("M&uuml;ller", "Müller"),
        ("AT&T Ann", "AT&T Ann"),
        ("x" * 110, "x" * 110),
        *((nobody, "") for nobody in (
            "NULL NULL", "N/A", "undefined undefined", "--", "-", "Anonymous", "anonymous", "null", "None", "nan",
            "#N/A",             "(not set)", "匿名", "Anónimo", "NaN NaN", "n/a n/a", "—", "?", "Unknown", ".", "",
            "Unknown Unknown", "Anonymous Anonymous", "(no name)", "[object Object]",
            "{{name}}", "{first_name}", "*|FNAME|*", "%name%", "{{ contact.first_name }}", "«First_Name» «Last_Name»",
        )),
    ],
)  # fmt: skip
def test_a_name_stays_as_typed_and_nobody_is_greeted_as_null(typed: str, name: str) -> None:
    assert clean_name_of(typed) == name


@pytest.mark.parametrize(
    ("first", "last", "name"),
    [
        ("Ana", "Ruiz", "Ana Ruiz"),
        ("Jennifer", "Null", "Jennifer Null"),  # there are people of that name
        ("Jennifer", "NULL", "Jennifer"),
        ("NULL", "NULL", ""),
        ("Null", "Null", ""),
        ("--", "Ruiz", "Ruiz"),
        ("Ana Ruiz", "Ana Ruiz", "Ana Ruiz"),
        ("Ana", "Ana", "Ana Ana"),
        ("花子", "山田", "山田花子"),
        ("伟", "李", "李伟"),
        ("길동", "홍", "홍길동"),
        ("Wei", "李", "Wei 李"),
    ],
)
def test_the_parts_of_a_name_are_one_in_the_order_of_its_language(first: str, last: str, name: str) -> None:
    assert joined(clean_name_of(first, last), "", clean_name_of(last, first)) == name


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Ana (RIT Student)", "Ana"),
        ("Ana Ruiz (WHO)", "Ana Ruiz"),
        ("Ana Ruiz (UN OCHA)", "Ana Ruiz"),
        ("Ana Ruiz (Guest)", "Ana Ruiz"),
        ("Ana Ruiz (External)", "Ana Ruiz"),
        ("Ana Ruiz [External]", "Ana Ruiz"),
        ("Ana Ruiz (Unverified)", "Ana Ruiz"),
        ("Ana Ruiz (Host, me)", "Ana Ruiz"),
        ("Ana Ruiz (she/her)", "Ana Ruiz"),
        ("Ana Ruiz (Gast)", "Ana Ruiz"),
        ("山田（ゲスト）", "山田"),
        ("Smith (WHO), PhD", "Smith (WHO), PhD"),
        ("Anna (Annie) Berg", "Anna (Annie) Berg"),
        ("Berg (Annie)", "Berg (Annie)"),
        ("Berg (geb. Stein)", "Berg (geb. Stein)"),
        ("(WHO)", "(WHO)"),
        (")", ")"),
    ],
)
def test_what_a_system_adds_in_brackets_is_dropped_and_a_person_s_own_stay(name: str, short: str) -> None:
    assert without_affiliation(name) == short


def test_in_a_column_of_names_as_shown_any_bracket_is_the_system_s() -> None:
    assert without_affiliation("Annie (Anna Berg)", displayed=True) == "Annie"


@pytest.mark.parametrize("cell", ["", "N/A", "NULL", "--", "#N/A", " - ", "none", "undefined", "\u200b"])
def test_a_cell_that_says_there_is_nothing_is_empty(cell: str) -> None:
    assert clean_cell(cell) == ""


TEN = datetime(2027, 9, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cell", "order", "said"),
    [
        ("Sep 1, 2027 10:00:00", "", TEN),
        ("Sep 1, 2027 10:00:00 AM", "", TEN),
        ("September 1, 2027 at 10:00 AM", "", TEN),
        ("1 Sep 2027 10:00", "", TEN),
        ("1st September 2027, 10:00", "", TEN),
        ("Wed, 1 Sep 2027 10:00:00 GMT", "", TEN),
        ("2027-09-01 10:00:00", "", TEN),
        ("2027-09-01 10:00:00 UTC", "", TEN),
        ("2027-09-01T10:00:00.000Z", "", TEN),
        ("2027-09-01T12:00:00+02:00", "", TEN),
        ("2027/09/01 10:00:00", "", TEN),
        ("01.09.2027 10:00", "", TEN),
        ("09/01/2027 10:00 AM", "month first", TEN),
        ("01/09/2027 10:00", "day first", TEN),
        ("13/09/2027 10:00", "", TEN.replace(day=13)),
        ("09/13/2027 10:00 PM", "", TEN.replace(day=13, hour=22)),
        ("09/13/2027 12:30 AM", "", TEN.replace(day=13, hour=0, minute=30)),
        ("09/01/2027 10:00 AM", "", None),  # January or September
        ("2027/09/01 12:00:00 PM MESZ", "", TEN),  # Google Forms
        ("2027/09/01 12:00:00 PM GMT+2", "", TEN),
        ("2027/09/01 3:30:00 PM GMT+5:30", "", TEN),
        ("2027/09/01 5:00:00 AM GMT-05:00", "", TEN),
        ("2027-09-01 11:00 CET", "", TEN),
        ("2027-09-01 11:00+03:00 CET", "", None),
        ("2027/09/01 11:00:00 AM GMT+99", "", None),
        ("Sep 1, 2027 10:00 AM EDT", "", None),
        ("Sept One", "", None),
        ("45200.5", "", None),
        ("31/02/2027", "", None),
        ("2038-01-01", "", None),
    ],
)
def test_a_time_is_read_where_only_one_is_meant(cell: str, order: Order, said: datetime | None) -> None:
    assert instant(cell, order) == said
