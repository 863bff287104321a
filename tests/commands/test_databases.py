"""Every command on a database that is not there yet, or that another version of this program made: only `webinar run`
makes and migrates one, and a program that is older than the database leaves it alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.clock import VirtualClock
from scheduler.database.engine import Database, NewerSchema, Schema, execute
from scheduler.service.service import Service
from scheduler.settings import read_settings
from tests.commands.scene import Scene
from tests.database.earlier import empty, made_by

pytestmark = pytest.mark.engines("sqlite")

EARLIER = "The database is of an earlier version of this program: `webinar run` brings it up to date.\n"
NEWER = "The database is of a newer version of this program (9999, here {}): use that version.\n"
OLDEST = "0001"


@pytest.fixture
def here(scene: Scene) -> Scene:
    scene.write(status="draft")
    (scene.root / "people.csv").write_text("email\nanna@example.org\n")
    (scene.root / "password").write_text("four words make one\n")
    return scene


def _told(scene: Scene, url: str, *, status: bool = True) -> dict[str, tuple[int, str]]:
    """What each command that needs a database says, and its exit code. `status` explains a database that no service has
    made yet (`test_status`)."""
    commands = [
        ["import", str(scene.root / "people.csv")],
        ["suppress", "anna@example.org"],
        ["user", "add", "ada@who.int", "--password-file", str(scene.root / "password")],
        ["user", "list"],
        ["user", "remove", "ada@who.int"],
        *([["status"]] if status else []),
        ["notify", "w", "--yes"],
        ["show", "anna@example.org"],
        ["preview", "confirmation", "--registrant", "anna@example.org"],
    ]
    told = {}
    for arguments in commands:
        result = scene.run(*arguments, env={"DATABASE_URL": url})
        assert result.stdout == ""
        told[" ".join(arguments[:2])] = result.exit_code, result.stderr.removeprefix("--registrant: ")
    return told


def _revision(database: Database) -> str:
    with database.reading() as conn:
        return str(execute(conn, "SELECT version_num FROM alembic_version").scalar_one())


def test_no_file_is_made(here: Scene, tmp_path: Path) -> None:
    file = tmp_path / "data" / "webinar.db"
    told = _told(here, f"sqlite:///{file}", status=False)
    assert set(told.values()) == {(2, f"There is no database yet: `webinar run` makes {file}.\n")}
    assert not file.parent.exists()


@pytest.mark.engines("both")
def test_no_tables_are_made(here: Scene) -> None:
    empty(here.database)
    told = _told(here, here.url, status=False)
    assert set(told.values()) == {(2, "The database has no tables yet: `webinar run` makes them.\n")}
    assert here.database.schema() is Schema.NONE


def test_an_earlier_database_is_not_migrated(here: Scene) -> None:
    made_by(here.database, OLDEST)
    assert set(_told(here, here.url).values()) == {(2, EARLIER)}
    assert _revision(here.database) == OLDEST


@pytest.mark.engines("both")
def test_a_newer_database_is_left_alone(here: Scene) -> None:
    newest = _revision(here.database)
    here.sql("UPDATE alembic_version SET version_num = '9999'")
    assert set(_told(here, here.url).values()) == {(2, NEWER.format(newest))}
    for table in ("registrants", "suppression", "account"):
        assert here.sql(f"SELECT count(*) FROM {table}") == [(0,)]


# Commands that can do without


def test_a_check_goes_without_an_earlier_database_and_says_so(here: Scene) -> None:
    made_by(here.database, OLDEST)
    result = here.run("check")
    (line,) = [line for line in result.stdout.splitlines() if "the database" in line]
    assert line.startswith(
        "warning: the database: is of an earlier version of this program; until `webinar run`"
    )
    assert "whom they would notify" in line
    assert _revision(here.database) == OLDEST


def test_a_check_without_a_database_says_that_whom_an_edit_notifies_is_not_known_and_why(here: Scene) -> None:
    empty(here.database)
    result = here.run("check")
    (line,) = [line for line in result.stdout.splitlines() if "notify" in line]
    assert line == (
        "The database has no tables yet: `webinar run` makes them. So whom an edit would notify is not known here; only"
        " the database of the service (DATABASE_URL) says who is registered, and what they know."
    )
    assert here.database.schema() is Schema.NONE


def test_a_check_with_a_database_says_no_such_thing(here: Scene) -> None:
    assert "is not known" not in here.run("check").stdout


def test_a_webinar_goes_live_without_an_earlier_database(here: Scene) -> None:
    made_by(here.database, OLDEST)
    result = here.run("live", "w", "--yes")
    assert result.exit_code == 0
    assert f"{EARLIER.rstrip()} How many mails leave is not known." in result.stdout
    assert _revision(here.database) == OLDEST


@pytest.mark.parametrize("status", ["draft", "live", "nonsense"])
@pytest.mark.parametrize(
    "arguments",
    [["check"], ["live", "w", "--yes"], ["draft", "w", "--yes"]],
    ids=["check", "live", "draft"],
)
def test_where_the_database_is_newer_nothing_is_done_or_found_to_be_done(
    here: Scene, arguments: list[str], status: str
) -> None:
    newest, file = _revision(here.database), here.write(status=status)
    before = file.read_text()
    here.sql("UPDATE alembic_version SET version_num = '9999'")
    result = here.run(*arguments)
    assert (result.exit_code, result.stderr) == (2, NEWER.format(newest))
    assert file.read_text() == before


# The service


@pytest.mark.engines("both")
@pytest.mark.parametrize("revision", ["", OLDEST])
def test_the_service_makes_and_migrates_the_tables(here: Scene, revision: str) -> None:
    if revision:
        made_by(here.database, revision)
    else:
        empty(here.database)
    now = datetime(2025, 6, 12, tzinfo=UTC)
    service = Service(read_settings(here.env), here.database, VirtualClock(now))

    async def start_and_stop() -> None:
        await service.start()
        await service.stop()

    asyncio.run(start_and_stop())
    assert here.database.schema() is Schema.CURRENT


@pytest.mark.engines("both")
def test_migrating_a_newer_database_is_refused(database: Database) -> None:
    with database.transaction() as conn:
        execute(conn, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerSchema):
        database.migrate()
    assert _revision(database) == "9999"


@pytest.mark.full  # a start of a whole service
def test_the_service_ends_with_one_sentence_where_the_database_is_newer(here: Scene) -> None:
    newest = _revision(here.database)
    here.sql("UPDATE alembic_version SET version_num = '9999'")
    done = _service(here)
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]  # the others are logs
    assert (done.returncode, said) == (2, [NEWER.format(newest).rstrip()])
    assert _revision(here.database) == "9999"


def _service(scene: Scene) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("webinar"), "run"],
        env={name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        | scene.env
        | {"EDITOR": "off"},
        cwd=scene.root, capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
