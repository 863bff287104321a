"""A CSV as spreadsheets and registration systems save it, read into rows."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.problem import Problem, Problems
from scheduler.registrants.files.cells import clean_cell, clean_name_of
from scheduler.registrants.files.csv import DELIMITERS
from scheduler.registrants.files.reading import FileRow, read_rows
from scheduler.registrants.files.records import lines_named


def read(text: str) -> tuple[list[FileRow], list[str]]:
    rows, notes = read_rows(text.encode(), "people.csv")
    return rows, [str(note) for note in notes]


def values(text: str) -> list[dict[str, str]]:
    rows, notes = read(text)
    assert notes == []
    assert not [row for row in rows if row.unusable]
    return [dict(row.values) for row in rows]


ANNA = [{"email": "anna@example.org", "name": "Anna"}]


@pytest.mark.parametrize(
    "header", ["email,name", "EMAIL,Name", " E-Mail , full  name ", "e_mail,NOM", "courriel,nom"]
)
def test_headers_count_in_any_case_and_under_other_names(header: str) -> None:
    assert values(f"{header}\nanna@example.org,Anna\n") == ANNA


def test_columns_count_in_any_order() -> None:
    assert values("name,email\nAnna,anna@example.org\n") == ANNA


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quotes", ["", '"'])
def test_comma_semicolon_or_tab_with_or_without_bom_and_quotes(
    delimiter: str, bom: str, line_end: str, quotes: str
) -> None:
    rows = [("email", "name"), ("anna@example.org", "Anna"), ("bo@example.org", "Bo")]
    lines = [delimiter.join(f"{quotes}{cell}{quotes}" for cell in row) for row in rows]
    read = values(bom + line_end.join(lines) + line_end)
    assert read == [*ANNA, {"email": "bo@example.org", "name": "Bo"}]


def test_the_delimiter_is_what_makes_columns_that_are_known_whatever_else_stands_in_the_header() -> None:
    rows, notes = read("email;name;Do you agree, and to what, and why?\nanna@example.org;Anna;yes\n")
    assert [row.values for row in rows] == ANNA
    assert notes == [
        'people.csv, column 3: "Do you agree, and to what, and why?" is not read; no column of this name is known'
    ]


def test_excel_s_own_first_line_names_the_delimiter() -> None:
    rows, _ = read("sep=;\nemail;name\nanna@example.org;Anna\n")
    assert [(row.line, row.values) for row in rows] == [(3, ANNA[0])]


def test_short_rows_below_a_header_of_many_thousand_columns_take_no_longer_than_others() -> None:
    rows, _ = read("email" + "," * 16_000 + "name\n" + "ana@example.org\n" * 500)  # 8 million cells
    assert [dict(row.values) for row in rows] == [{"email": "ana@example.org"}] * 500


def test_a_file_with_addresses_only_is_one_column() -> None:
    assert values("email\nanna@example.org\n") == [{"email": "anna@example.org"}]


def test_rows_are_named_by_the_line_at_which_they_begin() -> None:
    text = 'email,name\n\n"a@example.org","A\nof\r\ntwo lines"\n,\nb@example.org,B\n'
    rows, _ = read(text)
    assert [(row.line, row.values["email"]) for row in rows] == [(3, "a@example.org"), (7, "b@example.org")]


def test_what_looks_like_a_formula_is_text() -> None:
    assert values('email,name\na@example.org,"=HYPERLINK(""https://x.example"",1+1)"\n') == [
        {"email": "a@example.org", "name": '=HYPERLINK("https://x.example",1+1)'}
    ]


def test_blanks_around_values_go_and_empty_cells_are_no_values() -> None:
    assert values("email,name,country\n  a@example.org  , ,CH\n") == [
        {"email": "a@example.org", "country": "CH"}
    ]


def test_when_somebody_registered_is_an_instant_and_utc_where_no_offset_is_said() -> None:
    rows, _ = read(
        "email,Registration Time\n"
        "a@example.org,2025-06-12T09:30:00+02:00\n"
        "b@example.org,2025-06-12 09:30\n"
        "c@example.org,\n"
    )
    assert [row.registered_at for row in rows] == [
        datetime(2025, 6, 12, 7, 30, tzinfo=UTC),
        datetime(2025, 6, 12, 9, 30, tzinfo=UTC),
        None,
    ]


def test_values_that_are_no_time_are_left_out_and_named_together() -> None:
    times = [
        "soon",
        "12/06/2025 09:30",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2038-01-01",
    ]
    text = "".join(
        f'{n}@example.org,"{time}"\n' for n, time in enumerate([*times, "never", "y", "2037-12-31"])
    )
    rows, notes = read(f"email,registered_at\n{text}")
    assert [row.registered_at for row in rows] == [None] * 7 + [datetime(2037, 12, 31, tzinfo=UTC)]
    assert notes == [
        "people.csv, lines 2, 3, 4, 5, 6 and 2 more: registered_at is not a time;"
        " allowed: such as 2025-06-12T09:30:00Z, from 1970 to 2037, or a date whose order is clear;"
        " it is left out"
    ]


def test_of_two_columns_that_mean_the_same_the_better_name_counts() -> None:
    rows, notes = read("Address,E-mail,Email\n1 Rue X,old@example.org,new@example.org\n")
    assert [row.values for row in rows] == [{"email": "new@example.org"}]
    assert notes == [
        'people.csv, column 1: "Address" is not read; holds no address; column 3 is the email',
        "people.csv, line 2: another column holds another address; it is not read",
    ]


def test_several_columns_that_nobody_knows_are_one_note() -> None:
    _, notes = read("email,Shirt,Diet,Order locale\na@example.org,M,none,en\n")
    assert (
        notes[-1]
        == 'people.csv: 2 columns are not read: "Shirt", "Diet"; no columns of these names are known'
    )


def test_a_column_with_a_typo_is_named_with_the_nearest_right_name() -> None:
    _, notes = read("email,timezome,Organisation\na@example.org,Europe/Paris,X\n")
    assert notes == [
        'people.csv, column 2: "timezome" is not read; did you mean `timezone`?',
        'people.csv, column 3: "Organisation" is not read; no column of this name is known',
    ]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([3], "line 3"),
        ([3, 5], "lines 3 and 5"),
        ([1, 2, 3, 4, 5], "lines 1, 2, 3, 4 and 5"),
        ([1, 2, 3, 4, 5, 6], "lines 1, 2, 3, 4, 5 and 1 more"),
    ],
)
def test_many_lines_are_named_briefly(lines: list[int], named: str) -> None:
    assert lines_named(lines) == named


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters='\n\t"'), max_size=20)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=6), st.sampled_from(list(DELIMITERS)))
def test_what_a_csv_writer_writes_is_read_back(people: list[tuple[str, str]], delimiter: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(["email", "name", "country"])
    writer.writerows([(f"{n}@example.org", *cells) for n, cells in enumerate(people)])
    expected = [
        {"email": f"{n}@example.org", "name": clean_name_of(name), "country": clean_cell(country)}
        for n, (name, country) in enumerate(people)
    ]
    rows, _ = read(file.getvalue())
    assert [dict(row.values) for row in rows] == [{k: v for k, v in row.items() if v} for row in expected]


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_the_answer_is_rows_by_line_or_a_problem_that_is_foreseen(raw: bytes) -> None:
    problems: tuple[Problem, ...] = ()
    rows: list[FileRow] = []
    try:
        rows, _ = read_rows(b"email,name\n" + raw, "people.csv")
    except Problems as error:
        problems = error.problems
    known = "the file is not UTF-8, nor in another encoding that is known"
    assert {problem.found for problem in problems} <= {known}
    assert [row.line for row in rows] == sorted({row.line for row in rows})


@given(st.text(st.characters(codec="utf-8"), max_size=60))
@example("1. Summary")
@example("3. In-Meeting Activities")
@example("Waitlist")
@example("Name,Country,Status")
@example("email")
def test_one_bad_row_takes_nobody_else_along(line: str) -> None:
    bad = line.replace("\n", " ").replace("\r", " ")
    rows, _ = read(f"email,name\n{bad}\nanna@example.org,Anna\n")
    assert rows[-1].line == 3
    assert rows[-1].values == ANNA[0]


ZOOM = """\
Registration Report
Report Generated:,"06/20/2025 10:11 AM"
Topic,Webinar ID,Scheduled Time,# Registered
Buying health products,831 5512 1234,"07/03/2025 01:00 PM",2

Attendee Details
First Name,Last Name,Email,Country/Region Name,Registration Time,Approval Status,Unique Join URL
Ana,Ruiz López,ana@example.org,Colombia,"06/12/2025 09:30 AM",approved,https://zoom.us/w/831?tk=a
Wu,,wu@example.org,China,"06/12/2025 09:31 AM",approved,https://zoom.us/w/831?tk=b
"""


def test_what_a_report_has_above_its_header_is_passed_over_and_first_and_last_names_are_one() -> None:
    rows, notes = read_rows(ZOOM.encode(), "zoom.csv")
    assert [(row.line, row.values["name"], row.values["email"], row.values["join_url"]) for row in rows] == [
        (8, "Ana Ruiz López", "ana@example.org", "https://zoom.us/w/831?tk=a"),
        (9, "Wu", "wu@example.org", "https://zoom.us/w/831?tk=b"),
    ]
    assert rows[0].values["country"] == "Colombia"
    told = [str(note) for note in notes]
    assert told[0] == "zoom.csv, lines 1, 2, 3, 4 and 6: above the header, and not read"
    assert "zoom.csv, lines 8 and 9: registered_at is not a time" in "\n".join(told)


def test_a_whole_name_counts_before_its_parts() -> None:
    rows, _ = read_rows(b"prenom,Pr\xc3\xa9nom,Nom,Name,email\nx,Ana,Ruiz,A. Ruiz,a@example.org\n", "f.csv")
    assert rows[0].values["name"] == "A. Ruiz"
