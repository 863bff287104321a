"""The commands as an operator calls them: what they print, and the exit code that a script goes by."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from scheduler.cli import main
from scheduler.database import chunk
from tests.support import toml

PEOPLE = "email,name\nanna@example.org,Anna\nbo@example.org,Bo\n"


class Desk:
    """A working directory with a webinar, and the commands run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "data" / "webinar.db"
        self.webinars = root / "config" / "webinars"
        self.webinars.mkdir(parents=True)
        (root / "templates").mkdir()
        self.environment = {
            "DATABASE_URL": f"sqlite:///{self.database}",
            "CONFIG_DIR": str(root / "config"),
            "TEMPLATES_DIR": str(root / "templates"),
        }

    def webinar(self, name: str, source: str | None = None) -> Path:
        file = self.webinars / f"{name}.toml"
        file.write_text(toml(id=name) if source is None else source, "utf-8")
        return file

    def people(self, content: str = PEOPLE) -> str:
        file = self.root / "people.csv"
        file.write_bytes(content.encode())
        return str(file)

    def run(self, *arguments: str, **environment: str) -> Result:
        result = CliRunner().invoke(main, arguments, env=self.environment | environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def process(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("webinar"), *arguments],
            env={"PATH": os.environ["PATH"]} | self.environment | environment,
            cwd=self.root,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    @property
    def untouched(self) -> bool:
        tables = ("registrants", "confirmed_elsewhere", "suppression")
        return all(self.rows(f"SELECT count(*) FROM {table}") == [(0,)] for table in tables)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as conn:
            return conn.execute(statement).fetchall()


@pytest.fixture
def desk(tmp_path: Path, migrated_file: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.webinar("w")
    desk.database.parent.mkdir()
    shutil.copy(migrated_file, desk.database)
    return desk


# Help and bad command lines


def test_help_names_every_command_and_each_has_its_own() -> None:
    help_ = CliRunner().invoke(main, ["--help"])
    assert help_.exit_code == 0
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    assert {"run", "rehearse", "check", "import", "suppress", "status"} <= set(commands)
    for name, command in commands.items():
        assert command
        assert f"\n  {name} " in help_.stdout
        own = CliRunner().invoke(main, [name, "-h"])
        assert own.exit_code == 0
        assert own.stdout.startswith("Usage: ")
        assert command.help
        assert command.help.split(".")[0].split("\n")[0] in own.stdout.replace("\n  ", " ")


def test_what_takes_long_to_import_is_imported_when_its_command_is_called() -> None:
    """Before that `run` ignores SIGHUP, which never ends a service, and no command waits for what it does not use."""
    loaded = "import sys, scheduler.cli; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
    assert not {"sqlalchemy", "babel", "jinja2", "pydantic", "asyncio"} & set(modules.stdout.split())


def test_the_service_loads_no_reader_of_files_and_no_driver_of_another_database() -> None:
    """They would take 12 MB for as long as it runs: its children read sources, and most services are on SQLite."""
    loaded = "import sys, scheduler.service.process; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
    unused = {
        "psycopg",
        "python_calamine",
        "scheduler.registrants.files",
        "scheduler.pulling.pull",
        "aiosmtpd",
    }
    assert not unused & set(modules.stdout.split())


@pytest.mark.parametrize(
    "arguments", [["imprt"], ["import"], ["import", "a.csv", "--webinr", "w"], ["suppress"], []]
)
def test_a_command_line_that_is_none_is_exit_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


# import


def test_import_says_what_it_did_and_the_same_file_twice_changes_nothing(desk: Desk) -> None:
    first, second = (desk.run("import", desk.people()) for _ in range(2))
    assert (first.exit_code, first.stdout, first.stderr) == (
        0,
        "2 new, 0 updated, 0 unchanged, 0 left out\n",
        "",
    )
    assert (second.exit_code, second.stdout) == (0, "0 new, 0 updated, 2 unchanged, 0 left out\n")
    assert desk.rows("SELECT webinar, email FROM registrants") == [
        ("w", "anna@example.org"),
        ("w", "bo@example.org"),
    ]


def test_rows_left_out_are_told_on_stderr_and_make_exit_1(desk: Desk) -> None:
    people = desk.people(PEOPLE + "secret,Secret\nanna@example.org,Anna S.\n")
    result = desk.run("import", people)
    assert result.exit_code == 1
    assert result.stdout == "2 new, 0 updated, 0 unchanged, 2 left out\n"
    assert result.stderr.splitlines() == [
        f'{people}, line 2: line 5 has the same address under another name: "Anna"; allowed: one registrant for each'
        " address; the row is left out",
        f'{people}, line 4: email is not an address: "secret"; the row is left out',
    ]


def test_notes_alone_are_exit_0(desk: Desk) -> None:
    people = desk.people("email,timezone\na@example.org,Mars/Olympus_Mons\n")
    result = desk.run("import", people)
    assert (result.exit_code, result.stdout) == (0, "1 new, 0 updated, 0 unchanged, 0 left out\n")
    assert result.stderr == (
        f'{people}, line 2: time zone: not the name of a time zone: "Mars/Olympus_Mons"; other evidence of'
        " the person is used\n"
    )


def test_of_several_webinars_one_must_be_named_here_or_in_the_file(desk: Desk) -> None:
    desk.webinar("v")
    refused = desk.run("import", desk.people())
    assert refused.exit_code == 2
    assert refused.stderr == "--webinar: is not given, and no row names a webinar; allowed: v, w\n"
    assert desk.untouched
    assert desk.run("import", desk.people(), "--webinar", "v").exit_code == 0
    assert desk.run("import", desk.people("email,webinar\nc@example.org,w\nd@example.org,\n")).exit_code == 1
    assert desk.rows("SELECT webinar, email FROM registrants ORDER BY id") == [
        ("v", "anna@example.org"),
        ("v", "bo@example.org"),
        ("w", "c@example.org"),
    ]


def test_people_are_never_taken_for_another_webinar_s_while_their_own_file_is_broken(desk: Desk) -> None:
    broken = desk.webinar("v", "id = ")
    result = desk.run("import", desk.people())
    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first.startswith(f"{broken}, line 1")
    assert second == "--webinar: is not given, and no row names a webinar; allowed: w"
    assert desk.untouched


def test_a_webinar_that_nobody_knows_is_told_with_the_nearest(desk: Desk) -> None:
    desk.webinar("clinical-trials")
    result = desk.run("import", desk.people(), "--webinar", "clinical-trails")
    assert result.exit_code == 2
    assert result.stderr == (
        '--webinar: "clinical-trails"; allowed: clinical-trials, w; did you mean `clinical-trials`?\n'
    )


def test_without_any_webinar_there_is_nothing_to_import_for(desk: Desk) -> None:
    (desk.webinars / "w.toml").unlink()
    result = desk.run("import", desk.people())
    assert result.exit_code == 2
    assert (
        f"allowed: none: {desk.webinars} holds no webinar; is this the folder of CONFIG_DIR?" in result.stderr
    )


def test_already_confirmed_is_kept(desk: Desk) -> None:
    assert desk.run("import", desk.people(), "--already-confirmed").exit_code == 0
    assert desk.rows("SELECT webinar, address_folded FROM confirmed_elsewhere ORDER BY 2") == [
        ("w", "anna@example.org"),
        ("w", "bo@example.org"),
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"PK\x03\x04",
            ": the workbook can't be read; allowed: a CSV, XLSX or ODS; save it as “Excel Workbook (.xlsx)”"
            " or “CSV UTF-8”",
        ),
        (b"Anna;Bo\n", ", line 1: no column for the address; allowed: a header with `email`"),
        (b"", ": the file is empty; allowed: a header with `email`, then a row for each person"),
    ],
    ids=["no workbook", "no header", "empty"],
)
def test_a_file_that_cant_be_used_is_exit_2_and_nothing_is_touched(
    content: bytes, told: str, desk: Desk
) -> None:
    file = desk.root / "people.csv"
    file.write_bytes(content)
    result = desk.run("import", str(file))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{file}{told}\n")
    assert desk.untouched


def test_an_import_that_ends_half_way_says_how_far_it_came(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = desk.people("email\n" + "".join(f"{n}@example.org\n" for n in range(30)))
    for limit in ("FIRST", "MOST"):
        monkeypatch.setattr(chunk, limit, 10)
    refused = (
        "CREATE TRIGGER refused BEFORE INSERT ON registrants WHEN NEW.email = '15@example.org'"
        " BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with closing(sqlite3.connect(desk.database)) as conn:
        conn.execute(refused)
    result = desk.run("import", people)
    assert (result.exit_code, result.stdout) == (1, "10 new, 0 updated, 0 unchanged, 0 left out\n")
    assert result.stderr == (
        f"{people}: the import ended at line 11: the database can't be used: IntegrityError: full. Run the same again:"
        " what is in the database already stays as it is.\n"
    )
    with closing(sqlite3.connect(desk.database)) as conn:
        conn.execute("DROP TRIGGER refused")
    assert desk.run("import", people).stdout == "20 new, 0 updated, 10 unchanged, 0 left out\n"


def test_a_pipe_is_read_like_a_file(desk: Desk) -> None:
    pipe = desk.root / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as threads:
        threads.submit(pipe.write_text, PEOPLE)
        assert desk.run("import", str(pipe)).stdout == "2 new, 0 updated, 0 unchanged, 0 left out\n"


def test_a_file_that_is_not_there_is_exit_2(desk: Desk) -> None:
    missing = desk.run("import", str(desk.root / "missing.csv"))
    assert (missing.exit_code, missing.stderr) == (
        2, f"{desk.root / 'missing.csv'}: can't be read: No such file or directory; allowed: a file\n",
    )  # fmt: skip
    folder = desk.run("import", str(desk.root))
    assert (folder.exit_code, folder.stderr) == (
        2,
        f"{desk.root}: can't be read: Is a directory; allowed: a file\n",
    )


# suppress


def test_suppress_says_how_many_registrations_the_address_has(desk: Desk) -> None:
    result = desk.run("suppress", " Anna@Example.org ")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "Suppressed. It has 0 registrations; nothing more is sent to it.\n"
    assert desk.rows("SELECT address_folded FROM suppression") == [("anna@example.org",)]


@pytest.mark.parametrize(
    "address", ["secret", "", "Secret <secret@example.org>", "secret@example.org,x@example.org"]
)
def test_what_is_no_address_is_refused_and_not_quoted(address: str, desk: Desk) -> None:
    result = desk.run("suppress", address)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr in {"ADDRESS: it is not an address\n", "ADDRESS: it is empty\n"}
    assert desk.untouched


# The environment, and the process itself


@pytest.mark.parametrize("command", [["import", "people.csv"], ["suppress", "a@example.org"]])
def test_a_bad_environment_is_exit_2_before_anything_is_touched(command: list[str], desk: Desk) -> None:
    desk.people()
    result = desk.run(*command, SMTP_PORT="many", CONFIG_DIR=str(desk.root / "nowhere"))
    assert result.exit_code == 2
    assert [line.split(":")[0] for line in sorted(result.stderr.splitlines())] == [
        "environment variable CONFIG_DIR",
        "environment variable SMTP_PORT",
    ]
    assert desk.untouched


def test_a_database_that_is_none_is_told_in_one_line(desk: Desk) -> None:
    desk.database.write_bytes(b"this is a text, and a long one, not a database" * 100)
    result = desk.run("import", desk.people())
    assert result.exit_code == 2
    assert result.stderr == (
        f"the database can't be used: {desk.database} is not a SQLite database: let DATABASE_URL name another file, or"
        " move this one away\n"
    )


def test_as_a_process_it_gives_the_same_answers_and_exit_codes(desk: Desk) -> None:
    people = desk.people(PEOPLE + ",Nobody\n")
    done = desk.process("import", people)
    assert (done.returncode, done.stdout) == (1, "2 new, 0 updated, 0 unchanged, 1 left out\n")
    assert done.stderr == f"{people}, line 4: email is empty; the row is left out\n"
    refused = desk.process("import", "missing.csv")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Traceback" not in refused.stderr
    assert desk.rows("SELECT count(*) FROM registrants") == [(2,)]
