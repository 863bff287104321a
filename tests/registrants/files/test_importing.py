"""What an import writes to `registrants`, on SQLite and on PostgreSQL."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from scheduler.database import chunk
from scheduler.database.engine import Database
from scheduler.problem import Problem
from scheduler.registrants.files import importing
from scheduler.registrants.files.importing import ImportReport, Oddities, import_file, import_rows
from scheduler.registrants.files.judging import LOST, Import, Judgement
from scheduler.registrants.files.reading import FileRow, RegistrantFile, read_rows
from tests.support import Ledger, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

FILE = """\
Email,Name,Language,Timezone,Country,Join URL,Registered at
maya@example.org,Maya Shrestha,en,Asia/Kathmandu,NP,https://webinar.example.org/j/1,2025-06-12T09:30:00+02:00
wei@example.org,李伟,zh,,CN,,
"""


class People:
    """One database, and imports into it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def import_(self, csv: str, default: str = "w", **options: Any) -> ImportReport:
        rows, _ = read_rows(csv.encode(), "people.csv")
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


@pytest.fixture(params=["at once", "in pieces"])
def people(request: pytest.FixtureRequest, database: Database) -> People:
    return People(database) if request.param == "at once" else Pieces(database)


def oddities(rows: list[FileRow]) -> list[Problem]:
    found = Oddities("people.csv", {"w": webinar()}, "w")
    for row in rows:
        found.look_at(row)
    return found.problems()


def counts(report: ImportReport) -> tuple[int, int, int]:
    return report.new, report.updated, report.unchanged


class Pieces(People):
    """The same, in transactions of two rows."""

    def import_(self, csv: str, default: str = "w", **options: Any) -> ImportReport:
        report, left_out = ImportReport(), list[Judgement]()
        asked = Import("people.csv", ["w", "v"], default, **options)
        with pytest.MonkeyPatch.context() as patched:
            pieces_of(2, patched)
            import_file(
                self.database,
                RegistrantFile(io.BytesIO(csv.encode()), "people.csv"),
                asked,
                report,
                left_out.append,
            )
        for one in left_out:
            (report.rejected if one.kind in LOST else report.notes).append(one.problem("people.csv"))
        return report


def pieces_of(rows: int, patched: pytest.MonkeyPatch) -> None:
    for limit in ("FIRST", "MOST"):
        patched.setattr(chunk, limit, rows)


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


@pytest.mark.engines("both")
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


@pytest.mark.engines("both")
def test_an_address_in_other_letters_is_the_same_person_also_beyond_ascii(people: People) -> None:
    people.import_("email\nÉlodie@example.org\n")
    assert counts(people.import_("email\nélodie@EXAMPLE.org\n")) == (0, 0, 1)
    assert people.rows("email") == [("Élodie@example.org",)]


@pytest.mark.engines("both")
def test_of_rows_with_one_address_the_last_counts(people: People) -> None:
    report = people.import_(
        "email,name\na@example.org,First\nb@example.org,B\nA@example.org,Last\na@example.org,\n"
    )
    assert counts(report) == (2, 0, 0)
    assert [str(problem) for problem in report.rejected] == [
        'people.csv, line 2: line 4 has the same address under another name: "First";'
        " allowed: one registrant for each address; the row is left out"
    ]
    assert [str(problem) for problem in report.notes] == [
        "people.csv, line 5: line 4 has the same address, and counts;"
        " allowed: one registrant for each address; the row is left out"
    ]
    assert sorted(people.rows("email, name")) == [("A@example.org", "Last"), ("b@example.org", "B")]


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


@pytest.mark.engines("both")
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
    rows, _ = read_rows(
        b"email,timezone,country,webinar\n"
        b"a@example.org,Mars/Olympus_Mons,GB,\n"
        b"b@example.org,Europe/Paris,FR,\n"
        b"c@example.org,IST,,\n"
        b"d@example.org,Mars/Olympus_Mons,GB,\n"
        b"e@example.org,Mars/Olympus_Mons,GB,unknown\n"
        b"f@example.org,,Atlantis,\n",
        "people.csv",
    )
    told = [str(problem) for problem in oddities(rows)]
    counts = "; other evidence of the person is used"
    assert told == [
        f'people.csv, lines 2 and 5: time zone: not the name of a time zone: "Mars/Olympus_Mons"{counts}',
        "people.csv, line 4: time zone: the name of several time zones that do not agree;"
        f' may be meant: Asia/Kolkata, Europe/Dublin, Asia/Jerusalem: "IST"{counts}',
        f'people.csv, line 7: country: neither a code (ISO 3166) nor the name of a country: "Atlantis"{counts}',
    ]


def test_languages_in_words_are_understood_and_what_is_none_is_named_by_its_lines(database: Database) -> None:
    rows, _ = read_rows(
        "email,language\na@x.org,Français\nb@x.org,Klingonish\nc@x.org,\nd@x.org,zh-Hant\ne@x.org,N/A\n".encode(),
        "people.csv",
    )
    assert [str(problem) for problem in oddities(rows)] == [
        "people.csv, line 3: language is not known; allowed: a name or a tag such as French or fr;"
        " the webinar's first language counts"
    ]
    ledger = Ledger(database)
    ledger.govern(webinar())
    with database.transaction() as conn:
        import_rows(conn, rows, "people.csv", webinars=["w"], default_webinar="w")
    ledger.plan(utc("2025-06-12 08:00"))
    taken = ledger.sql("SELECT address, language FROM registration ORDER BY address")
    assert [row.language for row in taken] == ["fr", "", "", "zh-Hant", ""]


# A file of any length


def test_a_person_who_is_in_the_file_twice_is_written_once_however_far_apart_the_lines_are(
    database: Database,
) -> None:
    people = Pieces(database)
    others = "".join(f"{n}@example.org,{n}\n" for n in range(9))
    csv = f"email,name\na@example.org,First\n{others}A@example.org,Last\n"
    assert counts(people.import_(csv)) == (10, 0, 0)
    before, changes = people.rows("*"), people.changes()
    assert changes == 10
    report = people.import_(csv)
    assert counts(report) == (0, 0, 10)
    assert [str(problem) for problem in report.rejected] == [
        'people.csv, line 2: line 12 has the same address under another name: "First";'
        " allowed: one registrant for each address; the row is left out"
    ]
    assert (people.rows("*"), people.changes()) == (before, changes)


def refuse(people: People, email: str) -> None:
    """Let the database refuse this address, as a disk that is full would."""
    with people.database.transaction() as conn:
        if people.database.dialect.takes_replicas:
            conn.exec_driver_sql(f"ALTER TABLE registrants ADD CONSTRAINT refused CHECK (email <> '{email}')")
        else:
            conn.exec_driver_sql(
                f"CREATE TRIGGER refused BEFORE INSERT ON registrants WHEN NEW.email = '{email}'"
                " BEGIN SELECT RAISE(ABORT, 'full'); END"
            )


def test_an_import_that_ends_half_way_has_confirmed_whom_it_wrote_and_goes_on_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, report = Pieces(database), ImportReport()
    refuse(people, "5@example.org")
    csv = "email\n" + "".join(f"{n}@example.org\n" for n in range(8))
    asked = Import("people.csv", ["w"], "w", already_confirmed=True)
    file = RegistrantFile(io.BytesIO(csv.encode()), "people.csv")
    pieces_of(2, monkeypatch)
    with pytest.raises(DBAPIError):
        import_file(database, file, asked, report, lambda problem: None)
    assert (counts(report), report.through) == ((4, 0, 0), 5)
    written = {row[0] for row in people.rows("email")}
    with database.transaction() as conn:
        confirmed = set(conn.execute(text("SELECT address_folded FROM confirmed_elsewhere")).scalars())
        conn.execute(text("ALTER TABLE registrants DROP CONSTRAINT refused" if database.dialect.takes_replicas
                          else "DROP TRIGGER refused"))  # fmt: skip
    assert written == confirmed == {f"{n}@example.org" for n in range(4)}
    assert counts(people.import_(csv, already_confirmed=True)) == (4, 0, 4)


@pytest.mark.engines("both")
def test_somebody_who_registers_while_they_are_imported_is_no_second_row(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger(people.database).register("a@example.org", name="A")
    find, calls = importing.Registrants.find, []

    def too_early(self: importing.Registrants, wanted: Any) -> Any:
        calls.append(wanted)
        return find(self, wanted) if len(calls) > 1 else {}

    monkeypatch.setattr(importing.Registrants, "find", too_early)
    report = people.import_("email,name\na@example.org,B\nb@example.org,B\n")
    assert counts(report) == (1, 1, 0)
    assert people.rows("email, name") == [("a@example.org", "B"), ("b@example.org", "B")]


def test_a_column_that_the_table_does_not_have_is_not_written(database: Database) -> None:
    with database.transaction() as conn:
        for column in ("country", "registered_at"):
            conn.exec_driver_sql(f"ALTER TABLE registrants DROP COLUMN {column}")
    people = People(database)
    assert counts(people.import_(FILE)) == (2, 0, 0)
    assert counts(people.import_(FILE)) == (0, 0, 2)


def test_ten_times_the_rows_take_the_same_memory(sqlite_url: str) -> None:
    database, peaks = Database(sqlite_url), []
    people = Pieces(database)
    for count in (300, 3000):
        csv = (
            "email,name\n" + "".join(f"{n}@example.org,Person {n}\n" for n in range(count)) + "none\n" * count
        )
        file = RegistrantFile(io.BytesIO(csv.encode()), "people.csv")
        with pytest.MonkeyPatch.context() as patched:
            pieces_of(100, patched)
            tracemalloc.start()
            import_file(
                database, file, Import("people.csv", ["w"], "w"), ImportReport(), lambda problem: None
            )
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert len(people.rows()) == 3000
    assert peaks[1] < 1.5 * peaks[0]
    database.close()
