"""TOML as organizers type it: by hand, in Word, on a French keyboard."""

from __future__ import annotations

from datetime import datetime, time
from tomllib import TOMLDecodeError

import pytest

from scheduler.input.toml_edit import with_status
from scheduler.input.toml_syntax import load_toml, syntax_problem


def problem_of(source: str) -> str:
    with pytest.raises(TOMLDecodeError) as refused:
        load_toml(source)
    return str(syntax_problem(source, "w.toml", refused.value))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2027-10-14T15:00", datetime(2027, 10, 14, 15)),
        ("2027-10-14 15:00", datetime(2027, 10, 14, 15)),
        ("2027-10-14t15:00  # in Geneva", datetime(2027, 10, 14, 15)),
        ("2027-10-14T15:00\r", datetime(2027, 10, 14, 15)),
        ("2027-10-14T15:00:30", datetime(2027, 10, 14, 15, 0, 30)),
        ("09:00", time(9)),
    ],
)
def test_minutes_are_enough(written: str, meant: datetime) -> None:
    source = f'id = "w"\nstart = {written}\ntitle = "x"\n'
    assert load_toml(source)["start"] == meant


def test_what_only_looks_like_a_time_stays_as_it_is() -> None:
    source = 'start = 2027-10-14T15:00\nabout = """\\\n  at = 09:00\n"""\n'
    assert load_toml(source)["about"] == "at = 09:00\n"


def test_a_file_with_minutes_can_be_edited() -> None:
    assert with_status('id = "w"\nstart = 2027-10-14T15:00\n', "live") == (
        'id = "w"\nstatus = "live"\nstart = 2027-10-14T15:00\n'
    )


@pytest.mark.parametrize(
    ("line", "column", "character", "fix"),
    [
        ("title = “Buying”", 9, "“ (U+201C, left double quotation mark)", 'title = "Buying"'),
        ('title = "Buying”', 17, "” (U+201D, right double quotation mark)", 'title = "Buying"'),
        ("title = „Kaufen“", 9, "„ (U+201E, double low-9 quotation mark)", 'title = "Kaufen"'),
        ("title = « Acheter »", 9, "« (U+00AB, left-pointing double angle quotation mark)", 'title = "Acheter"'),
        ("title = ‘Buying’", 9, "‘ (U+2018, left single quotation mark)", 'title = "Buying"'),
        ("title = ＂购买＂", 9, "＂ (U+FF02, fullwidth quotation mark)", 'title = "购买"'),
        ("“title” = \"x\"", 1, "“ (U+201C, left double quotation mark)", 'title = "My webinar"'),
        ('title =\u00a0"x"', 8, "(U+00A0, no-break space)", "type the line again"),
        ('ti\u200btle = "x"', 3, "(U+200B, zero width space)", "type the line again"),
        ('title ＝ "x"', 7, "＝ (U+FF1D, fullwidth equals sign)", "type the line again"),
        ("start = 2027‑10‑14", 13, "‑ (U+2011, non-breaking hyphen)", "type the line again"),
        ("start = 2027–10–14", 13, "– (U+2013, en dash)", "type the line again"),
    ],
)  # fmt: skip
def test_a_character_of_word_is_named(line: str, column: int, character: str, fix: str) -> None:
    said = problem_of(f'id = "w"\n{line}\n')
    assert said.startswith(f"w.toml, line 2, column {column}: the character {character}; allowed: ")
    assert said.endswith(fix)


def test_curly_quotes_inside_of_straight_ones_are_words() -> None:
    assert load_toml('title = "The “big” one, ‘here’ and «là»"')["title"] == "The “big” one, ‘here’ and «là»"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("start = 2027-10-14T9:00", "write the hour with two digits: 2027-10-14T09:00:00"),
        ("start = 2027-10-14 9:05:00", "write the hour with two digits: 2027-10-14T09:05:00"),
        ("start = 2027-10-14T15h00", "write a colon between hour and minute: 2027-10-14T15:00:00"),
        ("start = 2027-10-14T15.00", "write a colon between hour and minute: 2027-10-14T15:00:00"),
        ("start = 2027-10-14T15:00 CEST", "leave out CEST, which `zone` says: 2027-10-14T15:00:00"),
        (
            "start = 2027-10-14T15:00:00 (Geneva)",
            "leave out (Geneva), which `zone` says: 2027-10-14T15:00:00",
        ),
        ("start = 14.10.2027 15:00", "write a date and time as 2025-07-03T13:00:00"),
        ("start = 10/14/2027 3:00 PM", "write a date and time as 2025-07-03T13:00:00"),
        ("start = October 14, 2027", "write a date and time as 2025-07-03T13:00:00"),
        ("start = 2027-02-30T15:00:00", "write a date that exists, as 2025-07-03T13:00:00"),
        ("cancelled = True", "write true or false, in small letters"),
        ("title = My webinar", 'put text in straight quotes: title = "My webinar"'),
    ],
)
def test_a_usual_slip_has_its_fix(line: str, hint: str) -> None:
    assert problem_of(f"{line}\n").endswith(hint)
