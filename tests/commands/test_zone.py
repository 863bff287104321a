"""`webinar zone`, as an operator and a script call it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scheduler.cli import main
from tests.support import toml


class Folder:
    """A CONFIG_DIR, and the command over it."""

    def __init__(self, root: Path) -> None:
        self.config = root / "config"
        (self.config / "webinars").mkdir(parents=True)

    def write(self, name: str, **changed: Any) -> None:
        file = self.config / "webinars" / f"{name}.toml"
        file.write_text(toml(**({"id": name} | changed)), encoding="utf-8")

    def run(self, *arguments: str) -> Result:
        env = {"CONFIG_DIR": str(self.config), "DATABASE_URL": "nothing", "SMTP_PORT": "nothing"}
        result = CliRunner().invoke(main, ["zone", *arguments], env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def json(self, *arguments: str) -> dict[str, Any]:
        result = self.run(*arguments, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        found: dict[str, Any] = json.loads(result.stdout)
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("w")  # in Geneva, on 3 July 2025
    return folder


def test_json_is_the_zone_how_it_is_known_and_why(folder: Folder) -> None:
    assert folder.json("Pacific Time (US & Canada)", "--country", "US") == {
        "zone": "America/Los_Angeles",
        "known_by": "timezone",
        "because": "the name of this zone's clock, in US",
    }


def test_the_four_ways_in_which_a_zone_is_known(folder: Folder) -> None:
    for arguments, known_by in {
        ("Asia/Kolkata (IST)",): "timezone",
        ("", "--country", "Korea, Republic of"): "country",
        ("UTC+5:30",): "assumed",
        ("",): "webinar",
    }.items():
        assert folder.json(*arguments)["known_by"] == known_by
    assert folder.json()["zone"] == "Europe/Zurich"


def test_why_says_what_contradicts(folder: Folder) -> None:
    because = folder.json("Etc/GMT+1", "--country", "France")["because"]
    assert because.startswith(
        "the only zone of FR; time zone: Etc/GMT+1 is UTC+01:00 with the sign the other way round"
    )


def test_the_moment_is_the_only_webinars_start(folder: Folder) -> None:
    assert folder.json("", "--country", "UA")["known_by"] == "country"  # Simferopol agrees in July
    assert folder.json("", "--country", "UA", "--at", "2026-01-15T12:00Z")["known_by"] == "assumed"
    folder.write("winter", start=datetime(2026, 1, 15, 13), end=datetime(2026, 1, 15, 15))
    assert folder.json("", "--country", "UA", "--webinar", "winter")["known_by"] == "assumed"
    assert folder.json("", "--country", "UA", "--webinar", "w")["known_by"] == "country"


def test_a_moment_needs_no_webinar_and_then_no_zone_is_made_up(folder: Folder) -> None:
    folder.write("another", zone="Asia/Tokyo")
    assert folder.json("", "--at", "2026-01-15T12:00Z") == {
        "zone": None, "known_by": "webinar", "because": "nothing else is known: the webinar's own zone",
    }  # fmt: skip
    assert folder.json("", "--webinar", "another")["zone"] == "Asia/Tokyo"


def test_an_offset_is_a_text_and_no_option(folder: Folder) -> None:
    assert folder.json("-05:00", "--country", "PE")["zone"] == "America/Lima"


def test_for_people_it_is_a_line_and_the_moment_beside_it(folder: Folder) -> None:
    result = folder.run("Nairobi, Kenya")
    assert result.stdout == "Africa/Nairobi (timezone): the name of a place in this zone\n"
    assert result.stderr == "At 2025-07-03 11:00 UTC, when w begins.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("x", "--webinar", "W"), "--webinar: `W` is no webinar"),
        (("x", "--at", "noon"), '--at: "noon", which is no time in ISO 8601'),
        (("x", "--at", "2026-01-15T12:00"), "does not say its offset from UTC"),
        (("x", "--at", "2026-01-15T12:00Z", "--webinar", "w"), "--at: is given beside --webinar"),
    ],
)
def test_mistakes_are_reported(folder: Folder, arguments: tuple[str, ...], words: str) -> None:
    result = folder.run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
