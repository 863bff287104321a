"""What most rows hold is read by a fast way: it says what the way that reads everything says."""

from __future__ import annotations

import re
import sys
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.input.addresses import fold, fold_domain
from scheduler.registrants.files.cells import (
    Order,
    _other_instant,
    clean_cell,
    clean_name_of,
    cleaned,
    instant,
    order_of,
)
from scheduler.registrants.files.csv import records_of
from scheduler.registrants.files.words import remembered
from scheduler.registrants.rows import MAX_LENGTH, MAX_SHORT, Row, why_unusable
from scheduler.zones import folding
from scheduler.zones.wall import LAST_YEAR

ORDERS: list[Order] = ["", "day first", "month first"]
NUMBERS = re.compile(r"(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})\b")
DATES = st.one_of(
    st.datetimes().map(str),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.text("0123456789-/.:TZWzutcgmcest +,٣", max_size=30),
    st.from_regex(r"\A\d{1,4}[./-]\d{1,2}[./-]\d{1,4}( \d{1,2}:\d\d(:\d\d)?)?( ?(UTC|GMT\+1|CET|pm))?\Z"),
)


@given(DATES, st.sampled_from(ORDERS))
@example("2025-05-01 08:00:00", "")
@example("2025-05-01T08:00+02:00", "")
@example("2025-05-01 08:00:00 UTC", "")
@example("2025-05-01 08:00:00 GMT+2", "")
@example("0001-01-01T00:00:00+14:00", "")
@example("9999-12-31T23:59:59-14:00", "")
@example("2025-W20-4", "")
@example("20250501", "")
def test_an_instant_in_iso_8601_is_the_one_that_patterns_find(value: str, order: Order) -> None:
    found = _other_instant(value, order)
    assert instant(value, order) == (found if found and 1970 <= found.year <= LAST_YEAR else None)


@given(DATES)
@example(" 13/05/2025 ")
@example("2025-13-05")
@example("1234")
@example("12345/1/1")
def test_what_begins_with_a_year_says_nothing_of_the_order_of_days_and_months(value: str) -> None:
    numbers = NUMBERS.match(value.strip())
    day_or_month = numbers is not None and len(numbers[1]) < 4
    assert day_or_month or order_of(value) == ""


@given(st.one_of(st.text(), st.from_regex(r"\A\s?[A-Za-z.'é]{0,9}@?[A-Za-z.ßＡ-]{0,12}\s?\Z"), st.emails()))
@example(" A@EXAMPLE.ORG ")
@example("A@straße.DE")
@example("@")
def test_an_address_in_ascii_is_folded_like_any_other(address: str) -> None:
    local, at, domain = address.strip().rpartition("@")
    assert fold(address) == f"{local.lower()}{at}{fold_domain(domain)}"


def test_no_character_that_prints_is_dropped_where_words_are_compared() -> None:
    letters = map(chr, range(sys.maxunicode + 1))
    assert not [one for one in letters if one.isprintable() and unicodedata.category(one) == "Cf"]


@given(st.text(st.characters(max_codepoint=127)))
def test_a_name_in_ascii_is_folded_like_any_other(name: str) -> None:
    words = "".join(letter if letter.isalnum() else " " for letter in name.replace("&", " and ").casefold())
    assert folding.fold(name) == " ".join(words.split())
    assert folding.fold(f"{name} é") == f"{' '.join(words.split())} e".strip()


@pytest.mark.parametrize("beside", ["", "Ana", "N/A", "Null"])
@pytest.mark.parametrize(
    "name", ["Null", " Null ", "Nil", "NULL", "null", "Ana", "Null NaN", "'Null", "O'Neil"]
)
def test_whether_null_is_a_name_is_asked_each_time(name: str, beside: str) -> None:
    alone = clean_name_of(name)
    is_one = name.strip(" '") in ("Null", "Nil") and clean_name_of(beside) != ""
    assert clean_name_of(name, beside) == (name.strip(" '") if is_one else alone)
    assert clean_name_of(name) == alone


@given(st.text())
def test_a_cell_that_is_remembered_is_cleaned_like_any_other(cell: str) -> None:
    assert clean_cell(cell) == clean_cell(cell) == cleaned(cell)


def test_only_short_texts_are_remembered() -> None:
    asked = []
    ask = remembered(2)(lambda text: asked.append(text) or len(text))
    assert [ask("a"), ask("a"), ask("a" * 101), ask("a" * 101)] == [1, 1, 101, 101]
    assert asked == ["a", "a" * 101, "a" * 101]


@pytest.mark.parametrize("name", Row._fields[2:])
def test_each_value_has_its_own_longest(name: str) -> None:
    short = name in ("language", "timezone", "country")
    longest = MAX_SHORT if short else MAX_LENGTH
    row = Row(1, "w", "a@example.org", "n" * 150, "l" * 150, "t" * 150, "c" * 150)
    why_of = [why_unusable(row._replace(**{name: "x" * length}), {"w"}) for length in (longest, longest + 1)]
    assert "longer than" not in why_of[0] or name == "email"  # its own limit is lower
    assert f"is longer than {longest} characters" in why_of[1]


@given(st.lists(st.text("ab \t,;\u00a0", max_size=3), min_size=1, max_size=4))
def test_a_row_is_blank_where_each_of_its_cells_is(cells: list[str]) -> None:
    line = "|".join(cells) + "\n"
    (record,) = records_of(iter([line]), "|")
    assert list(record.cells) == (cells if any(cell.strip(" \t,;") for cell in cells) else [])
