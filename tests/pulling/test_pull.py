"""What `registrants` become by a source that changes, and by one that fails."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from scheduler.database import chunk
from scheduler.database.engine import Database
from scheduler.pulling import following
from scheduler.pulling.content import Content, SourceFails
from scheduler.registrants import sources
from scheduler.registrants.files.importing import import_rows
from scheduler.registrants.files.reading import read_rows
from tests.pulling.scene import ANA, BO, CY, Exports, Pulled, many, rows
from tests.registrants.files.workbooks import xlsx

pytestmark = pytest.mark.engines("sqlite")
both = pytest.mark.engines("both")


@pytest.fixture
def exports(database: Database, tmp_path: Path) -> Exports:
    folder = tmp_path / "exports"
    folder.mkdir()
    return Exports(database, folder)


# Changes


@both
def test_who_is_new_changed_or_gone_is_followed(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo"))
    assert exports.pull().done.new == 2
    assert exports.people == {ANA: "Ana", BO: "Bo"}
    exports.write(rows(f"{BO},Bo Li", f"{CY},Cy"))
    done = exports.pull().done
    assert (done.new, done.updated, done.gone) == (1, 1, 1)
    assert exports.people == {BO: "Bo Li", CY: "Cy"}
    assert exports.standing.words == ()


@both
def test_a_source_that_has_not_changed_writes_nothing(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo"))
    exports.pull()
    exports.ledger.sql("DELETE FROM registrant_change")
    exports.pull()
    exports.write(rows(f"{BO},Bo", f"{ANA},Ana"))  # in another order
    assert exports.pull().done.updated == 0
    assert exports.ledger.sql("SELECT count(*) FROM registrant_change") == [(0,)]


@pytest.mark.parametrize(
    ("before", "after", "stands"),
    [
        ("CEST,FR", ",FR", ("", "FR")),
        ("CEST,FR", "Africa/Nairobi,KE", ("Africa/Nairobi", "KE")),
        (",", "CEST,FR", ("CEST", "FR")),
    ],
)
def test_a_correction_arrives_also_of_what_is_empty_now(
    exports: Exports, before: str, after: str, stands: tuple[str, str]
) -> None:
    header = "email,timezone,country"
    exports.write(rows(f"{ANA},{before}", f"{BO},,", header=header))
    exports.pull()
    exports.write(rows(f"{ANA},{after}", f"{BO},,", header=header))
    exports.pull()
    found = exports.ledger.sql(
        "SELECT coalesce(timezone, ''), coalesce(country, '') FROM registrants WHERE email = :ana", ana=ANA
    )
    assert found == [stands]


@both
def test_a_column_that_is_gone_takes_nothing_along(exports: Exports) -> None:
    exports.write(rows(f"{ANA},CEST", header="email,timezone"))
    exports.pull()
    exports.write(rows(f"{ANA},Ana", header="email,name"))
    exports.pull()
    assert exports.ledger.sql("SELECT name, timezone FROM registrants") == [("Ana", "CEST")]


@both
def test_what_the_source_did_not_insert_it_does_not_delete(exports: Exports) -> None:
    exports.ledger.register(ANA, name="Ana R.", country="CO")
    exports.write(rows(f"{ANA},Ana Ruiz", f"{BO},Bo", f"{CY},Cy"))
    assert exports.pull().done.others == 1
    assert exports.people[ANA] == "Ana Ruiz"
    assert exports.ledger.sql("SELECT country FROM registrants WHERE email = :ana", ana=ANA) == [("CO",)]
    exports.write(rows(f"{BO},Bo", f"{CY},Cy"))
    exports.pull()
    assert set(exports.people) == {ANA, BO, CY}


def test_whom_an_import_names_as_well_the_source_does_not_delete(exports: Exports) -> None:
    people = [f"{ANA},Ana", f"{BO},Bo", f"{CY},Cy"]
    exports.write(rows(*people))
    exports.pull()
    file = read_rows(rows(f"{ANA.upper()},Ana").encode(), "more.csv")[0]
    exports.database.in_transaction(
        lambda conn: import_rows(conn, file, "more.csv", webinars=["w"], default_webinar="w")
    )
    exports.write(rows(f"{ANA},Ana Ruiz", *people[1:]))
    exports.pull()
    assert exports.people[ANA] == "Ana Ruiz"
    exports.write(rows(people[2]))
    exports.pull(accept=True)
    assert set(exports.people) == {ANA, CY}
    exports.ledger.sql("DELETE FROM registrants WHERE email = :ana", ana=ANA)
    exports.write(rows(*people))
    exports.pull()
    exports.write(rows(*people[1:]))
    exports.pull()
    assert set(exports.people) == {BO, CY}, "this row is the source's alone again"


def test_who_is_in_the_source_comes_back_though_somebody_deleted_the_row(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo"))
    exports.pull()
    exports.ledger.sql("DELETE FROM registrants WHERE email = :ana", ana=ANA)
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo Li"))
    exports.pull()
    assert set(exports.people) == {ANA, BO}


@both
def test_a_row_that_was_given_to_somebody_else_is_not_deleted(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo"))
    exports.pull()
    exports.ledger.sql("UPDATE registrants SET email = :cy WHERE email = :ana", ana=ANA, cy=CY)
    exports.write(rows(f"{BO},Bo"))
    exports.pull()
    assert set(exports.people) == {BO, CY}


def test_an_address_that_is_corrected_is_another_person(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo"))
    exports.pull()
    exports.write(rows(f"{ANA.upper()},Ana", f"{CY},Bo"))
    done = exports.pull().done
    assert (done.new, done.updated, done.gone) == (1, 0, 1)
    assert set(exports.people) == {ANA, CY}


@both
def test_who_cancels_is_gone_and_an_unknown_status_changes_nothing(exports: Exports) -> None:
    header = "email,status"
    exports.write(rows(f"{ANA},approved", f"{BO},approved", f"{CY},approved", header=header))
    exports.pull()
    exports.write(rows(f"{ANA},cancelled", f"{BO},perhaps", f"{CY},approved", header=header))
    report = exports.pull()
    assert set(exports.people) == {BO, CY}
    assert report.found
    assert report.found.errors.count == 1
    assert "line 3" in exports.standing.note
    assert BO not in exports.standing.note


def test_a_status_that_counts_by_the_file(database: Database, tmp_path: Path) -> None:
    exports = Exports(database, tmp_path, 'counting = ["Perhaps"]')
    exports.write(rows(f"{ANA},perhaps", header="email,status"))
    exports.pull()
    assert set(exports.people) == {ANA}


def test_what_the_file_says_of_a_source_counts_at_once(exports: Exports, database: Database) -> None:
    exports.write(rows(f"{ANA},perhaps", f"{BO},approved", header="email,status"))
    exports.pull()
    again = Exports(database, exports.file.parent, 'counting = ["perhaps"]')
    again.now = exports.now
    again.pull()
    assert set(again.people) == {ANA, BO}


def test_one_address_with_several_names_is_one_person_and_noted(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana", f"{ANA},Bo"))
    exports.pull()
    assert exports.people == {ANA: "Bo"}
    assert exports.standing.note == (
        "rows that can't be used (line 2): one address has several names (1); their registrants stay as they are"
    )


def test_rows_of_other_webinars_are_left_alone(exports: Exports) -> None:
    exports.write(rows(f"{ANA},w", f"{BO},other", header="email,webinar"))
    report = exports.pull()
    assert set(exports.people) == {ANA}
    assert (report.trouble, report.note) == ("", "")


def test_a_person_in_the_sources_of_two_webinars(
    exports: Exports, database: Database, tmp_path: Path
) -> None:
    other = Pulled(database, 'path = "people.csv"', exports.file.parent, id="other")
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo"))
    exports.pull()
    other.pull()
    exports.write(rows(f"{BO},Bo"))
    exports.pull()
    found = exports.ledger.sql("SELECT webinar, email FROM registrants ORDER BY webinar, email")
    assert found == [("other", ANA), ("other", BO), ("w", BO)]


# Failures: the last state stays


def test_a_row_that_goes_wrong_keeps_its_person(exports: Exports) -> None:
    header = "email,join_url"
    exports.write(rows(f"{ANA},https://meet.test/a", f"{BO},", header=header))
    exports.pull()
    exports.write(rows(f"{ANA},nonsense", f"{BO},", header=header))
    exports.pull()
    assert exports.ledger.sql("SELECT join_url FROM registrants WHERE email = :ana", ana=ANA) == [
        ("https://meet.test/a",)
    ]
    assert "join_url is not an https link (1)" in exports.standing.note


def test_an_address_that_goes_wrong_keeps_whoever_may_be_meant(exports: Exports) -> None:
    people = [f"{ANA},Ana", f"{BO},Bo", f"{CY},Cy"]
    exports.write(rows(*people))
    exports.pull()
    exports.write(rows("ana@,Ana", *people[1:]))
    report = exports.pull()
    assert set(exports.people) == {ANA, BO, CY}
    assert "may be the same" in report.trouble
    exports.write(rows("ana@,Ana", *people[1:2]))
    exports.pull()
    assert set(exports.people) == {ANA, BO, CY}
    exports.write(rows(*people[:2]))  # right again, and one is gone
    assert exports.pull().trouble == ""
    assert set(exports.people) == {ANA, BO}


def test_a_row_that_never_named_anybody_keeps_nobody(exports: Exports) -> None:
    people = [f"{ANA},Ana", f"{BO},Bo", f"{CY},Cy"]
    exports.write(rows("dee@,Dee", *people))
    exports.pull()
    exports.write(rows("dee@,Dee", *people[1:]))
    exports.pull()
    assert set(exports.people) == {BO, CY}


LOSSES = {
    "nothing": b"",
    "a header alone": b"email,name\n",
    "other columns": b"number,town\n1,Geneva\n2,Lima\n",
    "a page": b"<!DOCTYPE html><html><body>Sign in</body></html>\n",
    "a page with an address": b" <HTML>\n<body>\nemail\nhelp@example.org\nana@example.org\nbo@example.org\n",
    "no text": bytes(range(256)) * 40,
    "the beginning of a workbook": xlsx([["email", "name"], [ANA, "Ana"], [BO, "Bo"]])[:700],
    "a row that is cut": f"email,name,country\n{ANA},Ana,FR\n{BO}".encode(),
    "a quotation that is cut": f'email,name\n{ANA},Ana\n{BO},"B'.encode(),
    "most people missing": rows(f"{ANA},Ana").encode(),
    "an old workbook": b"\xd0\xcf\x11\xe0" + bytes(600),
}


@pytest.mark.parametrize("content", LOSSES.values(), ids=LOSSES)
def test_a_loss_is_reported_and_the_last_state_stays(exports: Exports, content: bytes) -> None:
    people = [f"{ANA},Ana", f"{BO},Bo", f"{CY},Cy"]
    exports.write(rows(*people))
    exports.pull()
    before = exports.people
    exports.write(content)
    for failures in (1, 2):
        report = exports.pull()
        assert report.trouble
        assert exports.people == before
        assert exports.standing.failures == failures
        (words,) = exports.standing.words
        assert words.startswith("the source of w: ")
        assert words.endswith(", since 2025-06-12 08:10 UTC")
        assert "@" not in words
    exports.write(rows(*people))
    exports.pull()
    assert exports.standing.words == ()
    assert exports.people == before


def test_where_nothing_can_be_kept_the_last_state_stays(
    exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo"))
    exports.pull()
    exports.write(rows(f"{BO},Bo Li"))
    monkeypatch.setattr(tempfile, "tempdir", str(exports.file))
    trouble = "the temporary copy cannot be written (to TMPDIR, if set): not a directory"
    assert (exports.pull().trouble, exports.look().trouble) == (trouble, trouble)
    assert (exports.people, exports.standing.trouble) == ({ANA: "Ana", BO: "Bo"}, trouble)


def test_a_disk_that_is_full() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(SourceFails, match="no space left"):
        Content(file).add(b"email\n")


def test_a_file_that_vanished_and_came_back(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo"))
    exports.pull()
    exports.file.unlink()
    assert exports.pull().trouble == "people.csv: no such file or directory"
    exports.write(rows(f"{BO},Bo"))
    assert exports.pull().trouble == ""
    assert set(exports.people) == {BO}


@pytest.mark.parametrize(("were", "are", "followed"), [
    (100, 85, True), (100, 79, False), (60, 50, True), (11, 1, False), (4, 2, True), (3, 1, False), (2, 1, True),
    (1, 0, False),
])  # fmt: skip
def test_many_who_are_gone_at_once_wait_until_somebody_accepts_it(
    exports: Exports, were: int, are: int, followed: bool
) -> None:
    exports.write(rows(*many(were)))
    exports.pull()
    exports.write(rows(*many(are), f"{ANA},Ana") if are else rows())
    report = exports.pull()
    new = int(bool(are))  # who is new is taken in at any rate
    assert len(exports.people) == (are if followed else were) + new
    assert bool(report.trouble) is not followed
    if not followed:
        assert report.trouble.endswith("webinar pull w --accept")
        exports.pull()
        assert len(exports.people) == were + new
        assert exports.pull(accept=True).trouble == ""
        assert len(exports.people) == are + new


def test_values_that_many_lost_at_once_stay(exports: Exports) -> None:
    header = "email,timezone"
    exports.write(rows(f"{ANA},CEST", f"{BO},CEST", f"{CY},CEST", header=header))
    exports.pull()
    exports.write(rows(f"{ANA},", f"{BO},", "dee@example.org,", header=header))
    assert "have lost a value" in exports.pull().trouble
    zones = "SELECT timezone FROM registrants WHERE timezone IS NOT NULL"
    assert len(exports.ledger.sql(zones)) == 2, "but that one person is gone is followed"
    exports.pull(accept=True)
    assert exports.ledger.sql(zones) == []


def test_a_query_that_has_lost_its_condition_registers_nobody(exports: Exports) -> None:
    exports.write(rows(*many(20)))
    exports.pull()
    exports.write(rows(*many(1500)))
    assert "1480 people are new, where it had 20" in exports.pull().trouble
    assert len(exports.people) == 20
    exports.pull(accept=True)
    assert len(exports.people) == 1500


def test_a_first_pull_that_ended_half_way_is_done_to_its_end(
    exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little of it was done when the service was killed."""
    exports.write(rows(*many(1300)))
    noted = following._note

    def killed(conn: Connection, webinar: str, people: Sequence[tuple[following.Item, int, bool]]) -> None:
        noted(conn, webinar, people)
        monkeypatch.setattr(following, "_note", killed_now)

    def killed_now(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chunk, "FIRST", 100)
    monkeypatch.setattr(following, "_note", killed)
    with pytest.raises(KeyboardInterrupt):
        exports.pull()
    assert len(exports.people) < 130
    monkeypatch.undo()
    assert exports.pull().trouble == ""
    assert len(exports.people) == 1300


def test_a_file_that_may_still_be_written_waits_for_the_next_read(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana", f"{BO},Bo").rstrip("\n"), age=0)
    assert "its last line has no newline" in exports.pull().trouble
    assert exports.people == {}
    exports.pull()  # it is still the same
    assert set(exports.people) == {ANA, BO}


@pytest.mark.parametrize("last", ["p9@example.org,P", "p9@exam", "p9@example.org,P 9"])
def test_a_last_line_that_has_lost_its_end_is_a_file_that_was_cut(exports: Exports, last: str) -> None:
    """Whoever wrote it stopped long ago, so that reading it again says nothing."""
    header = "name,email" if "," not in last else "email,name"
    people = many(11) if "," in last else [f"P,{one.partition(',')[0]}" for one in many(11)]
    exports.write(rows(*people, header=header))
    exports.pull()
    before = exports.people
    cut = [*people[:9], last if "," in last else f"P,{last}"]
    exports.write(rows(*cut, header=header).rstrip("\n"))
    for _ in range(2):
        assert "its last line has no newline, though it had one before" in exports.pull().trouble
        assert exports.people == before
    exports.write(rows(*people[:10], header=header))
    assert exports.pull().trouble == ""
    assert len(exports.people) == 10


@pytest.mark.parametrize(
    "last", ["Bo,bo@exam", "Bo,bo@example.org", "Bo Lindqvist,bo@example.org,https://meet.test/b"]
)
def test_a_last_line_that_never_had_an_end_and_says_less_is_cut(exports: Exports, last: str) -> None:
    header, links = "name,email,join_url", "https://meet.test/"
    cut = rows(*[f"P {n},p{n}@example.org,{links}{n}" for n in range(4)], header=header)
    whole = f"{cut}Bo Lindqvist,{BO},{links}bo12\nCy,{CY},{links}cy12"
    if last.count(",") == 1:  # the address is the last column
        cut, whole = (
            "\n".join(line.rpartition(",")[0] for line in text.splitlines()) for text in (f"{cut}", whole)
        )
        cut += "\n"
    exports.write(whole)
    exports.pull()
    before = exports.ledger.sql("SELECT email, name, join_url FROM registrants ORDER BY email")
    exports.write(cut + last.replace("Bo,", "Bo Lindqvist,"))
    report = exports.pull()
    found = exports.ledger.sql("SELECT email, name, join_url FROM registrants ORDER BY email")
    if last == "Bo,bo@example.org":  # by which nobody can tell that there was more
        assert (report.trouble, len(found)) == ("", len(before) - 1)
    else:
        assert "the beginning of a known value" in report.trouble or "may be the same" in report.trouble
        assert found == before
        exports.pull(accept=True)
        assert exports.standing.trouble == ""


def test_a_last_line_without_an_end_that_never_had_one_or_is_accepted(exports: Exports) -> None:
    exports.write(rows(*many(4)).rstrip("\n"))
    exports.pull()
    exports.write(rows(*many(5)).rstrip("\n"))
    assert exports.pull().trouble == ""
    exports.write(rows(*many(6)))
    exports.pull()
    exports.write(rows(*many(7)).rstrip("\n"))
    assert exports.pull().trouble
    exports.pull(accept=True)
    exports.write(rows(*many(8)).rstrip("\n"))
    assert exports.pull().trouble == ""
    assert len(exports.people) == 8


@pytest.mark.parametrize(
    ("stay", "strangers", "followed"), [(0, 20, False), (5, 20, False), (15, 5, True), (9, 3, True)]
)
def test_a_list_of_others_registers_nobody(
    exports: Exports, stay: int, strangers: int, followed: bool
) -> None:
    """Another event's list, or all under a new domain: nobody gets a confirmation by mistake, or at two addresses."""
    exports.write(rows(*many(20)))
    exports.pull()
    exports.write(rows(*many(stay), *many(strangers, 100)))
    report = exports.pull()
    assert report.done.new == (strangers if followed else 0)
    if not followed:
        assert (
            f"{strangers} people are new, where {20 - stay} of 20 people are no longer in it"
            in report.trouble
        )
        assert len(exports.people) == 20
        exports.pull(accept=True)
        assert len(exports.people) == stay + strangers


def test_a_dry_run_writes_nothing(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana"))
    found = exports.look().found
    assert found
    assert (found.new, found.people) == (1, 1)
    assert exports.people == {}
    exports.pull()
    exports.write(rows(f"{BO},Bo"))
    found = exports.look().found
    assert found
    assert (found.new, len(found.gone)) == (1, 1)
    assert set(exports.people) == {ANA}


def test_a_clock_that_was_years_ahead_keeps_no_source_from_being_read(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana"))
    exports.now += timedelta(days=4000)
    exports.pull()
    exports.now -= timedelta(days=4000)
    every = timedelta(minutes=5)
    begun = [
        exports.database.in_transaction(lambda conn: sources.begin(conn, exports.now, "w", every))
        for _ in range(2)
    ]
    assert [bool(run) for run in begun] == [True, False]
    exports.ledger.sql("DELETE FROM registrants")
    exports.pull()
    assert set(exports.people) == {ANA}, "it is gone through once an hour, by any clock"


# Workbooks


def test_a_sheet_of_a_workbook_by_its_name(database: Database, tmp_path: Path) -> None:
    exports = Exports(database, tmp_path, 'table = "Geneva"')
    sheets = {"Lima": [["email"], [BO]], "Geneva": [["email"], [ANA]]}
    exports.write(xlsx(sheets))
    exports.pull()
    assert set(exports.people) == {ANA}
    exports.write(xlsx({"Lima": [["email"], [BO]]}))
    assert exports.pull().trouble == 'it has no table "Geneva" with people; allowed: "Lima"'
    assert set(exports.people) == {ANA}


def test_a_workbook_that_unpacks_into_too_much(exports: Exports) -> None:
    exports.write(rows(f"{ANA},Ana"))
    exports.pull()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("xl/workbook.xml", b"<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", bytes(510 * 2**20))
    exports.write(packed.getvalue())
    assert "is too large when unpacked" in exports.pull().trouble
    assert set(exports.people) == {ANA}
