"""The days on which people in a zone don't work, by its territory."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import pytz
from babel.core import get_global

from scheduler.zones.weekends import weekend

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = range(7)


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("Europe/Zurich", {SATURDAY, SUNDAY}),
        ("Europe/Paris", {SATURDAY, SUNDAY}),
        ("America/New_York", {SATURDAY, SUNDAY}),
        ("US/Eastern", {SATURDAY, SUNDAY}),
        ("Asia/Tokyo", {SATURDAY, SUNDAY}),
        ("Asia/Dubai", {SATURDAY, SUNDAY}),  # since 2022
        ("Africa/Cairo", {FRIDAY, SATURDAY}),
        ("Egypt", {FRIDAY, SATURDAY}),
        ("Asia/Riyadh", {FRIDAY, SATURDAY}),
        ("Asia/Jerusalem", {FRIDAY, SATURDAY}),
        ("Africa/Algiers", {FRIDAY, SATURDAY}),
        ("Asia/Kabul", {THURSDAY, FRIDAY}),
        ("Asia/Tehran", {FRIDAY}),
        ("Asia/Kolkata", {SUNDAY}),
        ("Asia/Calcutta", {SUNDAY}),
        ("Africa/Kampala", {SUNDAY}),
        ("UTC", {SATURDAY, SUNDAY}),
        ("Antarctica/Troll", {SATURDAY, SUNDAY}),
    ],
)
def test_the_weekend_is_that_of_the_territory(zone: str, days: set[int]) -> None:
    assert weekend(zone) == days


@pytest.mark.full  # Node is needed
def test_every_territory_has_the_weekend_that_ecmascripts_intl_has() -> None:
    node = shutil.which("node")
    assert node, "Node is needed"
    territories = {
        zone: get_global("zone_territories").get(get_global("zone_aliases").get(zone, zone), "")
        for zone in pytz.common_timezones
    }
    asked = {zone: where for zone, where in territories.items() if len(where) == 2 and where != "ZZ"}
    script = (
        "const ask = JSON.parse(process.argv[1]), said = {};"
        "for (const one of ask) { const known = new Intl.Locale('und-' + one);"
        "said[one] = (known.weekInfo || known.getWeekInfo()).weekend.map(day => day - 1) }"
        "console.log(JSON.stringify(said))"
    )
    done = subprocess.run(
        [node, "-e", script, json.dumps(sorted(set(asked.values())))],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    theirs = json.loads(done.stdout)
    differing = {zone: where for zone, where in asked.items() if weekend(zone) != set(theirs[where])}
    assert len(asked) > 400
    assert differing == {}
