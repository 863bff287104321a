"""`webinar pull`, and what `status` and `check` say of sources."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.pulling import pull
from tests.commands.scene import Scene, lines
from tests.pulling.scene import ANA, BO, CY, rows
from tests.registrants.files.workbooks import xlsx
from tests.support import SEQUENCE, utc

NOW = utc("2025-06-12 08:00")
SOURCE = f'{SEQUENCE}\n[source]\npath = "people.csv"\n'


@pytest.fixture
def here(sqlite_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A webinar whose source is a file."""
    monkeypatch.setattr(pull, "LOOK_AGAIN_SECONDS", 0.0)
    sqlite_scene.at(NOW)
    sqlite_scene.env["SOURCES_DIR"] = str(sqlite_scene.root)
    governs(sqlite_scene)
    return sqlite_scene


def governs(scene: Scene, **changed: Any) -> None:
    scene.write(sequence=SOURCE, **changed)
    scene.plan(NOW)


def export(scene: Scene, *people: str) -> None:
    file = Path(scene.root / "people.csv")
    file.write_text(rows(*people))
    os.utime(file, (1_700_000_000, 1_700_000_000))


def test_it_says_what_it_did(here: Scene) -> None:
    export(here, f"{ANA},Ana", f"{BO},Bo", f"{CY},Cy")
    first = here.run("pull", "w")
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout == ("3 people, 0 left out, 0 errors, 3 new, 0 updated, 0 gone, 0 known otherwise\n")
    assert here.run("pull", "w").stdout == "Nothing has changed.\n"
    export(here, f"{ANA},Ana R.", f"{BO},Bo", "dee@example.org,Dee")
    said = here.json("pull", "w")
    assert {name: said[name] for name in ("new", "updated", "gone")} == {"new": 1, "updated": 1, "gone": 1}


def test_a_dry_run_reads_also_a_draft_and_writes_nothing(here: Scene) -> None:
    governs(here, status="draft")
    export(here, f"{ANA},Ana")
    assert here.json("pull", "w", "--dry-run")["new"] == 1
    assert here.sql("SELECT count(*) FROM registrants") == [(0,)]
    assert here.sql("SELECT count(*) FROM source") == [(0,)]
    real = here.run("pull", "w")
    assert (real.exit_code, real.stderr) == (2, "w is a draft: only --dry-run reads its source.\n")


def test_a_dry_run_shows_what_each_column_is_read_as_and_who_is_left_out(here: Scene) -> None:
    (here.root / "people.csv").write_text(
        f"Contact mail,Full name,Shirt,Status\n{ANA},Ana,M,confirmed\n{BO},Bo,L,Cancelled\n{CY},Cy,S,Perhaps\n"
    )
    shown = here.run("pull", "w", "--dry-run")
    assert [row[:2] for row in lines(shown, "column")] == [
        ["Contact mail", "email"], ["Full name", "name"], ["Shirt", "-"], ["Status", "status"],
    ]  # fmt: skip
    assert "line 3: status “Cancelled” (1); left out, as they do not attend" in shown.stderr
    assert (
        'line 4: the status is not known: "Perhaps" (1); left out; `counting` in [source] lets them count'
        in shown.stderr
    )
    assert here.json("pull", "w", "--dry-run")["columns"][2]["read_as"] == ""


def test_a_cancelled_webinars_registrants_stay(here: Scene) -> None:
    governs(here, cancelled=True)
    result = here.run("pull", "w")
    assert result.exit_code == 2
    assert "so that they are notified" in result.stderr


def test_the_registrants_of_a_webinar_that_is_over_stay(here: Scene) -> None:
    export(here, f"{ANA},Ana")
    here.at(utc("2026-01-01 08:00"))
    result = here.run("pull", "w")
    assert result.exit_code == 2
    assert result.stderr == (
        "w is over, since 2025-07-03 13:00 UTC: its registrants stay as they are, so that they get what follows.\n"
    )
    assert here.json("pull", "w", "--dry-run")["new"] == 1


def test_what_is_lost_waits_until_it_is_accepted(here: Scene) -> None:
    export(here, f"{ANA},Ana", f"{BO},Bo", f"{CY},Cy")
    here.run("pull", "w")
    export(here, f"{ANA},Ana")
    held = here.run("pull", "w")
    assert held.exit_code == 1
    assert held.stderr == (
        "the source of w: 2 of 3 people are no longer in it. That is not followed; if it is right: webinar pull w"
        " --accept\n"
    )
    assert here.run("pull", "w", "--accept").exit_code == 0
    assert here.sql("SELECT email FROM registrants") == [(ANA,)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pull", "nosuch"), "there is no webinar `nosuch`; allowed: w"),
        (("pull", "nosuch", "--dry-run"), "there is no sound file of `nosuch`; allowed: w"),
        (("pull", "w", "--run", "0" * 16), "another pull of this webinar has begun"),
    ],
)
def test_it_could_not_begin(
    here: Scene, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr("scheduler.commands.pull.limit_child", lambda: None)
    result = here.run(*arguments)
    assert (result.exit_code, words in result.stderr) == (2, True)


def test_a_webinar_without_a_source(here: Scene) -> None:
    here.write()
    here.plan(NOW + timedelta(hours=1))
    result = here.run("pull", "w")
    assert (result.exit_code, result.stderr) == (2, "w: its file has no [source].\n")
    here.write(status="draft")
    here.plan(NOW + timedelta(hours=2))
    result = here.run("pull", "w")
    assert (result.exit_code, result.stderr) == (2, "w: its file has no [source].\n")


def test_the_status_says_when_it_was_read_and_what_is_wrong(here: Scene) -> None:
    assert lines(here.run("status"), "source") == [["w", "people.csv", "not yet", "0", ""]]
    export(here, f"{ANA},Ana", f"{BO},Bo")
    here.run("pull", "w")
    assert lines(here.run("status"), "source") == [["w", "people.csv", "2025-06-12 08:00", "2", ""]]
    (here.root / "people.csv").unlink()
    here.run("pull", "w")
    trouble = "people.csv: no such file or directory"
    assert lines(here.run("status"), "source") == [["w", "people.csv", "2025-06-12 08:00", "2", trouble]]
    (note,) = [one for one in here.json("status")["notes"] if "source" in one["reason"]]
    assert note["reason"] == f"the source of w: {trouble}, since 2025-06-12 08:00 UTC"
    assert "registrants stay as they were" in note["fix"]


IN_FULL = pytest.mark.full  # half a second for each


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('path = "people.csv"', "environment variable SOURCES_DIR is not set"),
        pytest.param(
            'from = "crm"\ntable = "t"', "environment variable SOURCE_CRM is not set", marks=IN_FULL
        ),
        ('from = "mysql"\ntable = "t"', "the driver pymysql is not installed; pip install pymysql"),
        ('from = "pg"', "SOURCE_PG is a database, and [source] says neither table nor query"),
        pytest.param('from = "files"', "", marks=IN_FULL),
        ('from = "pg"\ntable = "t"', ""),
        pytest.param('url = "https://files.test/people.csv"', "", marks=IN_FULL),
    ],
)
def test_a_check_says_what_the_operator_has_to_set_and_asks_nobody(
    sqlite_scene: Scene, source: str, words: str
) -> None:
    file = sqlite_scene.write(sequence=f"{SEQUENCE}\n[source]\n{source}\n")
    env = {
        "SOURCE_MYSQL": "mysql+pymysql://user:hush@db.test/crm",
        "SOURCE_PG": "postgresql://user:hush@db.test/crm",
        "SOURCE_FILES": "https://files.test/people.csv?token=hush",
    }
    result = sqlite_scene.run("check", str(file), env=env)
    found = [line for line in result.output.splitlines() if f"{file}, source" in line]
    assert len(found) == bool(words)
    assert words in result.output
    assert "hush" not in result.output


def test_a_check_names_a_file_that_is_not_there(here: Scene) -> None:
    file = here.write(sequence=SOURCE)
    warned = f"{file}, source: people.csv: no such file in SOURCES_DIR"
    assert warned in here.run("check", str(file)).output
    export(here, f"{ANA},Ana")
    assert warned not in here.run("check", str(file)).output


def test_a_sheet_that_is_not_there_is_named_with_those_that_are(here: Scene) -> None:
    (here.root / "people.xlsx").write_bytes(xlsx({"People": [["email"], [ANA]], "Rooms": [["Room"], ["5"]]}))
    here.write(sequence=f'{SEQUENCE}\n[source]\npath = "people.xlsx"\ntable = "Peple"\n')
    result = here.run("pull", "w", "--dry-run")
    assert result.stderr == 'the source of w: it has no table "Peple" with people; allowed: "People"\n'
