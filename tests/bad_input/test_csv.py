"""What an organizer is told about a CSV that is not what it should be: a row or a file at a time, and nothing is lost.

Only the answer about a value shows it, to whoever has the file.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scheduler.database.engine import Database
from scheduler.input.addresses import NOT_CARRIED
from scheduler.problem import Problems
from scheduler.registrants.files.importing import import_rows
from scheduler.registrants.files.reading import read_rows

SAVE = "save it as “CSV UTF-8”"
EMPTY = ": the file is empty; allowed: a header with `email`, then a row for each person"
NO_COLUMN = ", line 1: no column for the address; allowed: a header with `email`"
NO_ADDRESS = "email is not an address"
NO_LINK = "join_url is not an https link"
QUOTES = "a quotation mark is not closed or stands inside a value, or a value is too long"
HEADER = "email,name,language,country,join_url\n"
SOUND = "sound@example.org,Sound,en,CH,\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('csv') / 'webinar.db'}")
    database.migrate()
    yield database
    database.close()


FILES = {
    "empty": (b"", EMPTY),
    "blank": (b"\r\n;;;\r\n", EMPTY),
    "only a BOM": (b"\xef\xbb\xbf", EMPTY),
    "an encoding that is not known": (b"email,name\n" + bytes(range(128, 256)) * 9,
                                      ", line 2: the file is not UTF-8, nor in another encoding that is known;"
                                      f" allowed: UTF-8; {SAVE}"),
    "a workbook": (b"PK\x03\x04\x14\x00", ": the workbook can't be read; allowed: a CSV, XLSX or ODS;"
                                      " save it as “Excel Workbook (.xlsx)” or “CSV UTF-8”"),
    "no header": (b"secret@example.org,Secret\n", NO_COLUMN),
    "a broken header": (b'"email,name\nx@example.org,X\n', f", line 1: {QUOTES}; allowed: a header with `email`"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "told"), FILES.values(), ids=FILES)
def test_a_file_that_cant_be_read_is_refused_as_a_whole(raw: bytes, told: str) -> None:
    with pytest.raises(Problems) as refused:
        read_rows(raw, "people.csv")
    assert [str(problem) for problem in refused.value.problems] == [f"people.csv{told}"]


ROWS = {
    "no address": (",Secret,en,CH,", "email is empty"),
    "no address at all": ("Secret", f'{NO_ADDRESS}: "Secret"'),
    "no domain": ("secret@,Secret,en,CH,", f'{NO_ADDRESS}: "secret@"'),
    "two addresses": ("secret@example.org secret@example.com,Secret,en,CH,",
                      'email holds two addresses: "secret@example.org secret@example.com"'),
    "two quoted ones": ('"secret@example.org,secret@example.com",,en,CH,',
                        'email holds two addresses: "secret@example.org,secret@example.com"'),
    "a blank in quotation marks": ('"""sec ret""@example.org",Secret,en,CH,',
                                   NOT_CARRIED + r': "\"sec ret\"@example.org"'),
    "a line end in it": ('"secret@exam\nple.org",Secret,en,CH,', f'{NO_ADDRESS}: "secret@exam ple.org"'),
    "300 letters": (f"secret@{'x' * 300}.org,Secret,en,CH,",
                    f'email is longer than 254 octets: "secret@{"x" * 71}…'),
    "a formula for it": ("=A1&B1,Secret,en,CH,", f'{NO_ADDRESS}: "=A1&B1"'),
    "a link that is none": ("secret@example.org,,en,CH,javascript:alert(1)", f'{NO_LINK}: "javascript:alert(1)"'),
    "an http link": ("secret@example.org,Secret,en,CH,http://secret.example.org",
                     f'{NO_LINK}: "http://secret.example.org"'),
    "a name of 10 kB": (f"secret@example.org,{'Secret' * 1700},en,CH,", "a value is longer than 2000 characters"),
    "a line of 2 MB": (f"secret@example.org{',S' * 1_000_000}", QUOTES),
    "a cell of 200 kB": (f"secret@example.org,{'S' * 200_000},en,CH,", QUOTES),
    "a language of 300": (f"secret@example.org,Secret,{'e' * 300},CH,", "language is longer than 200 characters"),
    "a comma in a name": ("secret@example.org,Secret, Ann,en,CH,https://secret.example.org",
                          "6 cells where the header has 5: a value with a comma in it needs quotation marks"),
    "an open quotation mark": ('secret@example.org,"Secret,en,CH,', QUOTES),
    "one in the middle": ('secret@example.org,"Secret" Ann,en,CH,', QUOTES),
}  # fmt: skip


@pytest.mark.parametrize(("row", "told"), ROWS.values(), ids=ROWS)
def test_a_row_that_cant_be_used_is_named_by_its_line_and_the_rest_is_imported(
    row: str, told: str, shared: Database
) -> None:
    before = "before@example.org,Before,en,CH,\n"
    rows, notes = read_rows(f"{HEADER}{before}{row}\n{SOUND}".encode(), "people.csv")
    with shared.engine.connect() as conn:  # rolled back
        report = import_rows(conn, rows, "people.csv", webinars=["w"], default_webinar="w")
        conn.rollback()
    answer = [str(problem) for problem in report.rejected]
    assert answer == [f"people.csv, line 3: {told}; the row is left out"]
    assert report.new == 2
    assert "ecret" not in "".join(map(str, [*notes, *report.notes]))


NOTES = {
    "fewer cells": ("a@example.org,A\n",
                    ["people.csv, line 2: fewer cells than the header; those missing count as empty"]),
    "the same address": ("a@example.org,A,,,\nb@example.org,B,,,\nA@Example.org,a,,,\n",
                         ["people.csv, line 2: line 4 has the same address, and counts;"
                          " allowed: one registrant for each address; the row is left out"]),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "told"), NOTES.values(), ids=NOTES)
def test_what_is_odd_is_noted_and_imported(lines: str, told: list[str], shared: Database) -> None:
    rows, notes = read_rows((HEADER + lines).encode(), "people.csv")
    with shared.engine.connect() as conn:
        report = import_rows(conn, rows, "people.csv", webinars=["w"], default_webinar="w")
        conn.rollback()
    assert [str(note) for note in [*notes, *report.notes]] == told
    assert report.rejected == []
    assert report.new == len({line.split(",")[0].lower() for line in lines.splitlines()})


def test_ten_thousand_broken_rows_are_read_in_no_time() -> None:
    rows, _ = read_rows(
        ("email,name\n" + 'a@example.org,"x" y\n' * 10_000 + "b@example.org,B\n").encode(), "people.csv"
    )
    assert len(rows) == 10_001
    assert [row.line for row in rows if not row.unusable] == [10_002]
