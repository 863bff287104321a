"""What an import writes to `registrants`, on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from scheduler.database.engine import Database
from scheduler.registrants.importing import Report, import_rows, language_notes, zone_notes
from scheduler.registrants.reading import read_csv
from tests.support import Ledger, utc, webinar

FILE = """\
Email,Name,Language,Timezone,Country,Join URL,Registered at
maya@example.org,Maya Shrestha,en,Asia/Kathmandu,NP,https://webinar.example.org/j/1,2025-06-12T09:30:00+02:00
wei@example.org,李伟,zh,,CN,,
"""


class People:
    """One database, and imports into it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def import_(self, csv: str, default: str = "w", **options: Any) -> Report:
        rows, _ = read_csv(csv.encode(), "people.csv")
        with self.database.transaction() as conn:
            return import_rows(
                conn, rows, "people.csv", webinars=["w", "v"], default_webinar=default, **options
            )

    def rows(self, columns: str = "webinar, email, name") -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as conn:
            return [
                tuple(row) for row in conn.execute(text(f"SELECT {columns} FROM registrants ORDER BY id"))
            ]

    def changes(self) -> int:
        with self.database.engine.connect() as conn:
            return int(conn.execute(text("SELECT count(*) FROM registrant_change")).scalar_one())


@pytest.fixture
def people(database: Database) -> People:
    return People(database)


def counts(report: Report) -> tuple[int, int, int]:
    return report.new, report.updated, report.unchanged


def test_rows_become_registrants_with_all_their_columns(people: People) -> None:
    report = people.import_(FILE)
    assert counts(report) == (2, 0, 0)
    assert (report.rejected, report.notes) == ([], [])
    assert people.rows("webinar, email, name, language, timezone, country, join_url") == [
        (
            "w",
            "maya@example.org",
            "Maya Shrestha",
            "en",
            "Asia/Kathmandu",
            "NP",
            "https://webinar.example.org/j/1",
        ),
        ("w", "wei@example.org", "李伟", "zh", None, "CN", None),
    ]
    ((registered,), (unsaid,)) = people.rows("CAST(registered_at AS TEXT)")
    assert str(registered).startswith("2025-06-12 07:30:00")
    assert unsaid is None


def test_the_same_file_twice_changes_nothing(people: People) -> None:
    people.import_(FILE)
    rows, changes = people.rows("*"), people.changes()
    assert counts(people.import_(FILE)) == (0, 0, 2)
    assert people.rows("*") == rows
    assert people.changes() == changes, "the planner has nothing to look at"


def test_a_row_of_somebody_who_is_there_updates_what_it_says_and_leaves_the_rest(people: People) -> None:
    people.import_(FILE)
    report = people.import_("email,name,country\nMAYA@example.org,Maya S.,\n")
    assert counts(report) == (0, 1, 0)
    assert people.rows("email, name, country") == [
        ("maya@example.org", "Maya S.", "NP"),
        ("wei@example.org", "李伟", "CN"),
    ]


def test_an_address_in_other_letters_is_the_same_person_also_beyond_ascii(people: People) -> None:
    people.import_("email\nÉlodie@example.org\n")
    assert counts(people.import_("email\nélodie@EXAMPLE.org\n")) == (0, 0, 1)
    assert people.rows("email") == [("Élodie@example.org",)]


def test_of_rows_with_one_address_the_last_counts(people: People) -> None:
    report = people.import_(
        "email,name\na@example.org,First\nb@example.org,B\nA@example.org,Last\na@example.org,\n"
    )
    assert counts(report) == (2, 0, 0)
    assert [problem.place for problem in report.notes] == ["people.csv, line 4", "people.csv, line 5"]
    assert {problem.found for problem in report.notes} == {"has the address of line 2"}
    assert people.rows("email, name") == [("a@example.org", None), ("b@example.org", "B")]


def test_each_row_may_name_its_webinar_and_one_address_may_be_in_several(people: People) -> None:
    report = people.import_("email,webinar\na@example.org,v\na@example.org,\nb@example.org,x\n")
    assert counts(report) == (2, 0, 0)
    assert people.rows("webinar, email") == [("v", "a@example.org"), ("w", "a@example.org")]
    assert [str(problem) for problem in report.rejected] == [
        "people.csv, line 4: unknown webinar; the row is left out"
    ]


def test_a_row_that_names_no_webinar_where_there_is_no_other_to_take_is_left_out(people: People) -> None:
    report = people.import_("email,webinar\na@example.org,v\nb@example.org,\n", default="")
    assert counts(report) == (1, 0, 0)
    assert [str(problem) for problem in report.rejected] == [
        "people.csv, line 3: no webinar is named, here or by --webinar; the row is left out"
    ]


def test_a_formula_is_kept_as_the_text_that_it_is(people: People) -> None:
    people.import_("email,name\na@example.org,=1+1\n")
    assert people.rows("name") == [("=1+1",)]


def test_who_is_already_confirmed_gets_no_confirmation_but_the_reminders(
    database: Database, people: People
) -> None:
    ledger = Ledger(database)
    ledger.govern(webinar())
    for _ in range(2):  # the same file twice
        people.import_("email\nMoved@example.org\n", already_confirmed=True)
    people.import_("email\nnew@example.org\n")
    ledger.plan(utc("2025-06-12 08:00"))
    assert ledger.states("Moved@example.org") == {
        "confirmation": "skipped: confirmed by another system",
        "reminder-day": "pending",
        "reminder-hour": "pending",
        "follow-up": "pending",
    }
    assert ledger.states("new@example.org")["confirmation"] == "pending"


def test_people_in_the_table_can_be_imported_again_by_another_system_s_insert(
    database: Database, people: People
) -> None:
    Ledger(database).register("maya@example.org", name="  Maya Shrestha ", country="NP")
    report = people.import_("email,name,country\nmaya@example.org,Maya Shrestha,NP\n")
    assert counts(report) == (0, 0, 1), "blanks around a value are no difference"


def test_zones_and_countries_that_nobody_knows_are_named_by_their_lines() -> None:
    rows, _ = read_csv(
        b"email,timezone,country,webinar\n"
        b"a@example.org,Mars/Olympus_Mons,GB,\n"
        b"b@example.org,Europe/Paris,FR,\n"
        b"c@example.org,IST,,\n"
        b"d@example.org,Mars/Olympus_Mons,GB,\n"
        b"e@example.org,Mars/Olympus_Mons,GB,unknown\n"
        b"f@example.org,,Atlantis,\n",
        "people.csv",
    )
    told = [str(note) for note in zone_notes(rows, "people.csv", {"w": webinar()}, "w")]
    counts = "; what else is known of the person counts"
    assert told == [
        f"people.csv, lines 2 and 5: time zone: not the name of a time zone{counts}",
        "people.csv, line 4: time zone: IST is the abbreviation of several time zones;"
        f" may be meant: Asia/Kolkata, Europe/Dublin, Asia/Jerusalem{counts}",
        f"people.csv, line 7: country: neither a code (ISO 3166) nor the name of a country{counts}",
    ]


def test_languages_in_words_are_understood_and_what_is_none_is_named_by_its_lines(database: Database) -> None:
    rows, _ = read_csv(
        "email,language\na@x.org,Français\nb@x.org,Klingonish\nc@x.org,\nd@x.org,zh-Hant\ne@x.org,?\n".encode(),
        "people.csv",
    )
    assert [str(note) for note in language_notes(rows, "people.csv")] == [
        "people.csv, lines 3 and 6: language is not known; allowed: a name or a tag such as French or fr;"
        " the webinar's first language counts"
    ]
    ledger = Ledger(database)
    ledger.govern(webinar())
    with database.transaction() as conn:
        import_rows(conn, rows, "people.csv", webinars=["w"], default_webinar="w")
    ledger.plan(utc("2025-06-12 08:00"))
    taken = ledger.sql("SELECT address, language FROM registration ORDER BY address")
    assert [row.language for row in taken] == ["fr", "", "", "zh-Hant", ""]
