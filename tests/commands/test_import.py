"""`webinar import`: what it shows before it writes, what it asks, and its exit codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result

from scheduler.commands import common
from tests.registrants.files.test_systems import EXAMPLES, FILES
from tests.registrants.files.workbooks import xlsx
from tests.test_cli import Desk, desk

__all__ = ["desk"]

ANA, BO = "ana@example.org", "bo@example.org"
LOSES = f"email,name\n{ANA},Ana\nbo@,Bo\n"


def dry(desk: Desk, content: str | bytes, *asked: str) -> tuple[Result, dict[str, Any]]:
    file = desk.root / "people.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = desk.run("import", str(file), "--dry-run", "--json", *asked)
    return result, json.loads(result.stdout)


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: bool) -> list[str]:
    asked: list[str] = []
    monkeypatch.setattr("scheduler.commands.registrants.can_ask", lambda: True)
    monkeypatch.setattr(common, "can_ask", lambda: True)

    def confirm(question: str) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr("click.confirm", confirm)
    return asked


@pytest.mark.parametrize("name", FILES)
def test_a_dry_run_on_a_whole_file_of_a_system(name: str, desk: Desk) -> None:
    right = FILES[name]
    result = desk.run("import", str(EXAMPLES / name), "--dry-run", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (said["system"], said["table"]) == (right.system, right.table)
    assert [(row["line"], row["name"], row["role"]) for row in said["rows"]] == right.people
    assert {one["line"]: one["reason"] for one in said["left_out"]} == right.others
    assert "email" in {column["read_as"] for column in said["columns"]}
    assert desk.untouched


def test_the_json_of_a_dry_run(desk: Desk) -> None:
    result, said = dry(
        desk,
        "Name,E-Mail,Land,Zeitzone,Sprache,Status,Join URL,Firma\n"
        f"Ana Ruiz,mailto:{ANA},Colombia,,es,Approved,https://zoom.example/w/1,ACME\n"
        f"Bo Li,{BO},China,,,denied,,ACME\n",
    )
    assert result.exit_code == 0
    assert said == {
        "system": "",
        "table": "",
        "columns": [
            {"header": "Name", "read_as": "name", "because": '"Name" is the name'},
            {"header": "E-Mail", "read_as": "email", "because": '"E-Mail" is an address'},
            {"header": "Land", "read_as": "country", "because": '"Land" is the country'},
            {"header": "Zeitzone", "read_as": "timezone", "because": '"Zeitzone" is the time zone'},
            {"header": "Sprache", "read_as": "language", "because": '"Sprache" is the language'},
            {"header": "Status", "read_as": "status", "because": '"Status" is who attends'},
            {"header": "Join URL", "read_as": "join_url", "because": '"Join URL" is a join link'},
            {"header": "Firma", "read_as": "", "because": "no column of this name is known"},
        ],
        "rows": [
            {
                "line": 2,
                "email": ANA,
                "name": "Ana Ruiz",
                "timezone": "",
                "zone": "America/Bogota",
                "zone_known_by": "country",
                "country": "Colombia",
                "language": "es",
                "status": "Approved",
                "role": "attendee",
                "join_url": "https://zoom.example/w/1",
            }
        ],
        "left_out": [{"line": 3, "reason": "status “denied”"}],
        "notes": [
            f'{desk.root / "people.csv"}, column 8: "Firma" is not read; no column of this name is known',
            f"{desk.root / 'people.csv'}, line 2: extra characters were removed from the address",
        ],
    }
    assert desk.untouched


@pytest.mark.parametrize(
    ("content", "code", "left_out"),
    [
        (f"email,status\n{ANA},approved\n", 0, []),
        (f"email,status\n{ANA},approved\n{BO},waitlist\n", 0, ["status “waitlist”"]),
        (f"email,status\n{ANA},approved\n{BO},maybe\n", 1, ['the status is not known: "maybe"']),
        (f"email,name\n{ANA},Ana\nbo@,Bo\n", 1, ['email is not an address: "bo@"']),
        (f"email,name\n{ANA},Ana\n{ANA},Bo\n", 1, ['line 3 has the same address under another name: "Ana"']),
        (f"email,name\n{ANA},Ana\n{ANA},Ana\n", 0, ["line 3 has the same address, and counts"]),
    ],
    ids=["everybody", "status", "unknown status", "error", "another name", "twice"],
)
def test_exit_codes_of_a_dry_run_and_of_an_import_are_the_same(
    content: str, code: int, left_out: list[str], desk: Desk
) -> None:
    result, said = dry(desk, content)
    assert (result.exit_code, [one["reason"] for one in said["left_out"]]) == (code, left_out)
    imported = desk.run("import", desk.people(content))
    assert imported.exit_code == code
    assert imported.stdout == f"1 new, 0 updated, 0 unchanged, {len(left_out)} left out\n"


def test_a_file_that_is_none_is_exit_2(desk: Desk) -> None:
    result = desk.run("import", desk.people("Name\nAna\n"), "--dry-run", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no column for the address" in result.stderr


def test_json_without_a_dry_run_is_a_mistake(desk: Desk) -> None:
    assert desk.run("import", desk.people(), "--json").exit_code == 2
    assert desk.untouched


def test_a_dry_run_needs_no_database(desk: Desk) -> None:
    desk.database.unlink()
    assert desk.run("import", desk.people(), "--dry-run").exit_code == 0


def test_a_dry_run_in_words_names_the_system_its_columns_and_the_people(desk: Desk) -> None:
    result = desk.run("import", str(EXAMPLES / "zoom-attendees.csv"), "--dry-run")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{EXAMPLES / 'zoom-attendees.csv'}: Zoom, table “Attendee Details”"
    assert 'column\tEmail\temail\t"Email" is an address' in lines
    assert "row\t7\thana@example.org\tHana Host\tEurope/Zurich\tcountry\t\t\thost" in lines
    assert lines[-1] == "5 would be registered, 4 left out"
    assert "line 17: status “cancelled by host” (1); left out, as they do not attend" in result.stderr
    assert (
        "lines 7 and 10: hosts and panelists; they are registered and get the attendees' mails"
        in result.stderr
    )


def test_a_status_that_is_not_known_is_counted_and_named_and_can_be_let_in(desk: Desk) -> None:
    people = desk.people(f"email,status\n{ANA},VIP\n{BO},VIP\n")
    asked = desk.run("import", people)
    assert asked.exit_code == 1
    assert asked.stderr.splitlines() == [
        f'{people}, lines 2 and 3: the status is not known: "VIP" (2); left out; --counting lets them count'
    ]
    assert desk.untouched
    assert (
        desk.run("import", people, "--counting", "vip").stdout
        == "2 new, 0 updated, 0 unchanged, 0 left out\n"
    )


@pytest.mark.parametrize("answer", [True, False])
def test_on_a_terminal_the_preview_comes_first_and_it_asks_when_somebody_would_be_missing(
    answer: bool, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = at_a_terminal(monkeypatch, answer)
    result = desk.run("import", desk.people(LOSES))
    assert result.exit_code == 1
    assert asked == ["Some rows can't be used, or their status is not known. Import the others?"]
    assert "1 would be registered, 1 left out\n" in result.stdout
    assert desk.untouched is not answer
    assert ("1 new" in result.stdout) is answer


def test_on_a_terminal_nothing_is_asked_where_nobody_would_be_missing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = at_a_terminal(monkeypatch, False)
    assert desk.run("import", desk.people(f"email,status\n{ANA},approved\n{BO},denied\n")).exit_code == 0
    assert asked == []


def test_yes_does_not_ask(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = at_a_terminal(monkeypatch, False)
    assert desk.run("import", desk.people(LOSES), "--yes").exit_code == 1
    assert asked == []
    assert not desk.untouched


def test_what_steers_a_terminal_is_shown_as_what_it_is(desk: Desk) -> None:
    result, said = dry(desk, f"email,name\n{ANA},An\u202ea\x1b[31m\n\x1b[2J@example,Bo\n")
    assert "\\u202e" not in result.stdout
    assert said["rows"][0]["name"] == "Ana [31m"
    assert "\x1b" not in result.stdout + result.stderr
    assert "\x1b" not in desk.run("import", desk.people(f"email\n{ANA}\n\x1b[2J@x\n")).stderr


def test_a_workbook_is_imported_like_a_csv(desk: Desk) -> None:
    file = desk.root / "people.xlsx"
    file.write_bytes(
        xlsx({"2026": [["E-Mail"], [BO]], "2027": [["E-Mail", "Name"], [ANA, "Anna & Ben Berg"]]})
    )
    refused = desk.run("import", str(file))
    assert (refused.exit_code, refused.stderr) == (
        2, f'{file}: several sheets hold people: "2026", "2027"; allowed: one; name it by --table\n',
    )  # fmt: skip
    assert desk.run("import", str(file), "--table", "2027").exit_code == 0
    assert desk.rows("SELECT email, name FROM registrants") == [(ANA, "Anna & Ben Berg")]
