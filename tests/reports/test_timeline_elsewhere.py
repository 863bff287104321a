"""`webinar timeline --json` for every zone there is, judged by npm's moment-timezone, which is not Python's."""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytz
from click.testing import CliRunner

from scheduler.cli import main
from scheduler.webinar.model import Webinar, read_webinar
from tests.moment import ask_moment
from tests.support import SEQUENCE, toml

pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "config" / "webinars" / "trilateral-2025.toml"
# These mean Geneva's clock to people, so the timeline names its zone.
SHOWN_AS = {"CET": "Europe/Zurich", "EET": "Europe/Bucharest", "MET": "Europe/Zurich"}
# Whoever writes GMT mostly means London's clock, which shows another time in July: it is refused, with a hint.
REFUSED = {"GMT", "GMT+0", "GMT-0", "GMT0", "Greenwich"}
ZONES = [zone for zone in pytz.all_timezones if zone.removeprefix("Etc/") not in REFUSED]
LONG_SEQUENCE = """
[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "week"
days_before = 7
at = "09:00"

[[messages]]
id = "day"
before_start = "24h"

[[messages]]
id = "morning"
days_before = 0
at = "08:30"

[[messages]]
id = "at-home"
days_before = 1
at = "18:00"
clock = "webinar"

[[messages]]
id = "thanks"
after_end = "90m"

[[messages]]
id = "follow-up"
days_after = 10
at = "02:30"
"""


def _webinars(folder: Path) -> list[Path]:
    """The shipped one; one in the south's summer; one with the changes of Europe, America and Chatham around it."""
    south = toml(id="south", zone="Australia/Lord_Howe", start=datetime(2026, 1, 15, 9, 30),
                 end=datetime(2026, 1, 15, 11))  # fmt: skip
    change = toml(LONG_SEQUENCE, id="change", zone="Europe/London", start=datetime(2026, 10, 26, 23),
                  end=datetime(2026, 10, 27, 0))  # fmt: skip
    assert SEQUENCE in south
    for name, source in (("south", south), ("change", change)):
        (folder / f"{name}.toml").write_text(source)
    return [SHIPPED, folder / "south.toml", folder / "change.toml"]


def _asked(webinar: Webinar) -> dict[str, Any]:
    """The webinar as timeline.mjs wants it, from what its file says."""
    minutes = timedelta(minutes=1)
    messages = []
    for message in webinar.messages:
        rule = message.model_dump(exclude_none=True)
        for key in ("before_start", "after_end"):
            if key in rule:
                rule[key] = rule[key] / minutes
        if isinstance(rule.get("at"), time):
            rule["at"] = f"{rule['at']:%H:%M}"
        messages.append(rule)
    return {
        "zone": str(webinar.tz),
        "start": f"{webinar.start_wall:%Y-%m-%dT%H:%M}",
        "end": f"{webinar.end_wall:%Y-%m-%dT%H:%M}",
        "messages": messages,
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return _webinars(tmp_path_factory.mktemp("webinars"))


@pytest.fixture(scope="module")
def elsewhere(files: list[Path]) -> list[list[dict[str, Any]]]:
    """What moment-timezone says."""
    question = {
        "zones": ZONES,
        "webinars": [_asked(read_webinar(file.read_text("utf-8"), str(file))) for file in files],
    }
    timelines: list[list[dict[str, Any]]] = ask_moment("timeline.mjs", question)["timelines"]
    return timelines


@pytest.mark.parametrize("number", [0, 1, 2], ids=["shipped", "south", "change"])
def test_every_zone_agrees_in_every_value(
    number: int, files: list[Path], elsewhere: list[list[dict[str, Any]]]
) -> None:
    asked = [argument for zone in ZONES for argument in ("--zone", zone)]
    result = CliRunner().invoke(main, ["timeline", str(files[number]), "--json", *asked])
    assert result.exit_code == 0, result.stderr
    ours = {(entry["message"], entry["zone"]): entry for entry in json.loads(result.stdout)}
    compared, wrong = 0, []
    for theirs in elsewhere[number]:
        zone = SHOWN_AS.get(theirs["zone"], theirs["zone"])
        entry = ours[theirs["message"], zone]
        differs = {
            key: (entry[key], value) for key, value in theirs.items() if key != "zone" and entry[key] != value
        }
        compared += 1
        if differs:
            wrong.append((theirs["message"], theirs["zone"], differs))
    assert wrong == []
    assert compared == len(ZONES) * len({message for message, _ in ours})
    assert len(ours) > 580 * 4
