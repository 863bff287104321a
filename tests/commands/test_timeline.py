"""`webinar timeline`, as an organizer and a script call it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import pytz
from click.testing import CliRunner, Result

from scheduler.cli import main
from scheduler.commands import tables
from scheduler.commands import timeline as command
from tests.support import SEQUENCE, toml

INSTANT = (
    "allowed: an instant with its offset from UTC, such as 2025-06-12T07:05:00Z or 2025-06-12T09:05+02:00"
)
ZONE = "allowed: a time zone such as Africa/Nairobi"


class Folder:
    """A CONFIG_DIR, and the command over it."""

    def __init__(self, root: Path) -> None:
        self.root, self.webinars = root, root / "config" / "webinars"
        self.webinars.mkdir(parents=True)

    def write(self, name: str = "w", source: str | None = None, **changed: Any) -> Path:
        file = self.webinars / f"{name}.toml"
        file.write_text(toml(**({"id": name} | changed)) if source is None else source, encoding="utf-8")
        return file

    def run(self, *arguments: object) -> Result:
        env = {"CONFIG_DIR": str(self.root / "config"), "DATABASE_URL": "nothing", "SMTP_PORT": "nothing"}
        result = CliRunner().invoke(main, ["timeline", *map(str, arguments)], env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def json(self, *arguments: object) -> list[dict[str, Any]]:
        result = self.run(*arguments, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        found: list[dict[str, Any]] = json.loads(result.stdout)
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tables, command):
        monkeypatch.setattr(module, "on_terminal", lambda: True)


def test_json_is_a_list_of_objects_one_a_message_and_zone(folder: Folder) -> None:
    file = folder.write()
    first, *others = folder.json(file, "--zone", "Africa/Nairobi", "--zone", "Asia/Kathmandu")
    assert first == {
        "webinar": "w",
        "message": "confirmation",
        "zone": "Africa/Nairobi",
        "due_at": None,
        "expires_at": "2025-07-03T13:00:00Z",
        "due_local": None,
        "start_local": "2025-07-03T14:00",
        "end_local": "2025-07-03T16:00",
        "utc_offset": "+03:00",
        "date_shift": 0,
        "state": "pending",
        "reason": "",
    }
    assert len(others) == 7
    assert {tuple(one) for one in others} == {tuple(first)}


def test_the_shipped_webinar_needs_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    result = CliRunner().invoke(main, ["timeline", "--json"], env={"CONFIG_DIR": None})
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert {one["webinar"] for one in found} == {"trilateral-2025"}
    assert len(found) == 4 * 13


def test_all_webinars_of_the_folder_when_none_is_named(folder: Folder) -> None:
    folder.write("a")
    folder.write("b", zone="Asia/Tokyo")
    found = folder.json()
    assert [one["webinar"] for one in found] == ["a"] * 4 * 13 + ["b"] * 4 * 13
    assert {one["webinar"] for one in folder.json(folder.webinars / "b.toml")} == {"b"}


def test_somebody_who_registers_late(folder: Folder) -> None:
    found = folder.json(folder.write(), "--zone", "Geneva", "--registered-at", "2025-07-02T10:00+02:00")
    assert [(one["message"], one["due_at"], one["state"], one["reason"]) for one in found] == [
        ("confirmation", "2025-07-02T08:00:00Z", "pending", ""),
        ("reminder-day", "2025-07-02T07:00:00Z", "skipped", "due before it was planned"),
        ("reminder-hour", "2025-07-03T10:00:00Z", "pending", ""),
        ("follow-up", "2025-07-04T08:00:00Z", "pending", ""),
    ]


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("Pacific/Kiritimati", "Pacific/Kiritimati"),
        ("pacific/kiritimati", "Pacific/Kiritimati"),
        ("america/new york", "America/New_York"),
        ("Asia/Calcutta", "Asia/Calcutta"),
        ("asia/calcutta", "Asia/Kolkata"),
        ("US/Eastern", "US/Eastern"),
        ("GMT", "GMT"),
        ("UTC", "UTC"),
        ("CET", "Europe/Zurich"),
        ("Geneva time", "Europe/Zurich"),
        ("Nepal Standard Time", "Asia/Kathmandu"),
        ("(UTC-05:00) Eastern Time (US & Canada)", "America/New_York"),
    ],
)
def test_zones_may_be_named_as_registrants_name_them(folder: Folder, written: str, zone: str) -> None:
    assert {one["zone"] for one in folder.json(folder.write(), "--zone", written)} == {zone}


def test_every_zone_that_people_choose_from_is_understood_at_once(folder: Folder) -> None:
    asked = [argument for zone in pytz.common_timezones for argument in ("--zone", zone)]
    found = folder.json(folder.write(), *asked)
    assert [one["zone"] for one in found[: len(pytz.common_timezones)]] == pytz.common_timezones


def test_an_abbreviation_that_the_tz_database_has_is_said_to_be_its_own(folder: Folder) -> None:
    result = CliRunner().invoke(main, ["timeline", str(folder.write()), "--zone", "MST", "--json"])
    assert result.exit_code == 0
    assert result.stderr == "--zone MST: the tz database's, UTC-07:00 all year.\n"


def test_a_zone_that_is_named_twice_is_shown_once(folder: Folder) -> None:
    found = folder.json(folder.write(), "--zone", "Africa/Nairobi", "--zone", "africa/nairobi")
    assert len(found) == 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--zone", "IST"],
            '--zone: "IST", the name of several time zones that do not agree; may be meant: Asia/Kolkata,'
            f" Europe/Dublin, Asia/Jerusalem; {ZONE}\n",
        ),
        (
            ["--zone", "Asia/Katmando"],
            f'--zone: "Asia/Katmando", not the name of a time zone; may be meant: Asia/Kathmandu, Asia/Amman; {ZONE}\n',
        ),
        (
            ["--zone", "UTC+5:30"],
            '--zone: "UTC+5:30", an offset from UTC is not a time zone, as it does not say when summer time'
            f" begins: name that of a city, as in Europe/Zurich; {ZONE}\n",
        ),
        (
            ["--registered-at", "2025-07-02T09:00"],
            f'--registered-at: "2025-07-02T09:00", which does not say its offset from UTC; {INSTANT}\n',
        ),
        (
            ["--registered-at", "2025-07-02"],
            f'--registered-at: "2025-07-02", which does not say its offset from UTC; {INSTANT}\n',
        ),
        (
            ["--registered-at", "tomorrow"],
            f'--registered-at: "tomorrow", which is no time in ISO 8601; {INSTANT}\n',
        ),
        (
            ["--registered-at", "0001-01-01T00:00+14:00"],
            '--registered-at: "0001-01-01T00:00+14:00"; the rules of time zones are known from 1970 to 2037;'
            f" {INSTANT}\n",
        ),
        (
            ["--zone", "", "--zone", "Nowhere", "--registered-at", ""],
            f'--zone: "", not the name of a time zone; {ZONE}\n'
            f'--zone: "Nowhere", not the name of a time zone; {ZONE}\n'
            f'--registered-at: "", which is no time in ISO 8601; {INSTANT}\n',
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_told_and_nothing_printed(
    folder: Folder, arguments: list[str], told: str
) -> None:
    result = folder.run(folder.write(), *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", told)


def test_a_file_that_is_not_there_or_not_sound(folder: Folder) -> None:
    missing = folder.webinars / "x.toml"
    result = folder.run(missing)
    assert result.exit_code == 2
    assert result.stderr == f"{missing}: can't be read: No such file or directory; allowed: a file\n"
    result = folder.run(folder.write(title=None), "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "title: is missing" in result.stderr


def test_a_folder_without_webinars(folder: Folder) -> None:
    result = folder.run()
    assert result.exit_code == 2
    assert result.stderr == f"{folder.webinars}: holds no webinar; allowed: a folder with .toml files\n"


def test_one_broken_file_does_not_hide_the_other_webinars(folder: Folder) -> None:
    folder.write("a", title=None)
    folder.write("b")
    result = folder.run("--json")
    assert result.exit_code == 1
    assert {one["webinar"] for one in json.loads(result.stdout)} == {"b"}
    assert f"{folder.webinars / 'a.toml'}" in result.stderr


def test_two_files_with_one_id_are_told(folder: Folder) -> None:
    one, other = folder.write("a", id="same"), folder.write("b", id="same")
    result = folder.run()
    assert result.exit_code == 1
    assert result.stderr == (
        f"{one}, id: `same` is also the id of {other}; allowed: an id of its own\n"
        f"{other}, id: `same` is also the id of {one}; allowed: an id of its own\n"
    )


def test_in_a_pipe_a_line_for_each_message_and_zone(folder: Folder) -> None:
    result = folder.run(folder.write(), "--zone", "Pacific/Kiritimati")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(lines) == 4
    assert lines[1] == [
        "w",
        "reminder-day",
        "Pacific/Kiritimati",
        "2025-07-02 19:00",
        "Thu 03 Jul 2025 09:00 UTC+14:00",
        "2025-07-03 10:00",
        "Fri 04 Jul 2025 01:00 UTC+14:00",
        "Fri 04 Jul 2025 03:00 UTC+14:00",
        "pending",
    ]


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_webinars_time_then_a_table_for_each_message(folder: Folder) -> None:
    result = folder.run(folder.write(), "--zone", "Asia/Kathmandu", "--zone", "Pacific/Kiritimati")
    title, when, *tables_ = [line for line in result.stdout.splitlines() if line]
    assert title == "Buying health products"
    assert when == (
        "Thursday 3 July 2025, 13:00 CEST in Geneva (UTC+02:00) = 11:00 UTC;"
        " what was announced as CET is CEST on 3 July 2025"
    )
    assert [line.partition(":")[0] for line in tables_ if "  " not in line] == [
        "confirmation",
        "reminder-day",
        "reminder-hour",
        "follow-up",
    ]
    text = " ".join(" ".join(tables_).split())
    assert "Pacific/Kiritimati UTC+14:00 Fri 04 Jul 01:00–03:00 (+1 day)" in text
    assert "reminder-day: 1 day before at 09:00 on the reader’s clock zone due there due (UTC) state" in text
    assert "Pacific/Kiritimati Thu 03 Jul 09:00 Wed 02 Jul 19:00 pending" in text


@pytest.mark.parametrize("kind", ["--json", "--zone=UTC"])
def test_the_picture_is_written_beside_what_is_printed(folder: Folder, kind: str) -> None:
    picture = folder.root / "timeline.svg"
    result = folder.run(folder.write(), kind, "--svg", picture)
    assert (result.exit_code, result.stderr) == (0, f"Picture: {picture.as_uri()}\n")
    assert result.stdout
    assert ET.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_picture_is_of_one_webinar_in_a_folder_that_is_there(folder: Folder) -> None:
    one = folder.write("a")
    folder.write("b")
    result = folder.run("--svg", folder.root / "x.svg")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "--svg: 2 webinars; allowed: one: name its file\n"
    nowhere = folder.root / "none" / "x.svg"
    result = folder.run(one, "--svg", nowhere)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"--svg {nowhere}: can't be written: No such file or directory; allowed: a file\n"


def test_a_rule_that_never_comes_in_a_zone_is_told(folder: Folder) -> None:
    morning = SEQUENCE + '\n[[messages]]\nid = "morning"\ndays_before = 0\nat = "09:00"\n'
    file = folder.write(source=toml(morning))
    found = folder.json(file, "--zone", "America/New_York")
    assert [(one["state"], one["reason"]) for one in found if one["message"] == "morning"] == [
        ("skipped", "falls after the start")
    ]
