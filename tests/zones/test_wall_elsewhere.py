"""Every zone that pytz has, judged by an implementation that is not Python's: npm's moment-timezone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytz

from scheduler.webinar.model import Message, Webinar
from scheduler.webinar.timing import timings
from scheduler.zones.wall import computed_to_utc, to_local, to_utc
from tests.moment import ask_moment

pytestmark = pytest.mark.full

ROOT = Path(__file__).parent.parent
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)  # the years in question
AROUND = [
    timedelta(minutes=m) for m in (-1440, -180, -61, -60, -31, -30, -1, 0, 1, 29, 30, 59, 60, 180, 1440)
]


def webinars() -> list[Webinar]:
    """The trilateral sequence on the third of every month, and on the days around the changes of the clocks
    in Europe, America, Morocco and Australia."""
    sequence = (
        Message.model_construct(id="confirmation", on_registration=True),
        Message.model_construct(id="reminder-day", days_before=1, at=time(9)),
        Message.model_construct(id="reminder-hour", before_start=timedelta(hours=1)),
        Message.model_construct(id="follow-up", days_after=1, at=time(10)),
    )
    days = {datetime(year, month, 3, 13, tzinfo=UTC) for year in range(2024, 2028) for month in range(1, 13)}
    for zone in ("Europe/Zurich", "America/New_York", "Africa/Casablanca", "Australia/Lord_Howe"):
        days |= {change.replace(hour=13, minute=0) + timedelta(days=day)
                 for change in changes(zone) for day in (-2, -1, 0, 1, 2)}  # fmt: skip
    events = []
    for day in sorted(day for day in days if day.year < 2028):
        start = day.replace(tzinfo=None)
        about: dict[str, Any] = {"zone": "CET/Geneva time", "start_wall": start, "messages": sequence}
        events.append(Webinar.model_construct(**about, end_wall=start + timedelta(hours=2)))
    return events


@cache
def changes(zone: str) -> list[datetime]:
    """The instants at which pytz changes the clocks of a zone."""
    times = [t.replace(tzinfo=UTC) for t in getattr(pytz.timezone(zone), "_utc_transition_times", [])]
    return [change for change in times if FIRST <= change < LAST]


def walls(zone: str) -> list[datetime]:
    """Wall times on either side and in the middle of every gap and every doubled hour."""
    found = set()
    for change in changes(zone):
        before, after = (local_offset(change + timedelta(seconds=s), zone) for s in (-1, 0))
        for offset in (before, after, (before + after) / 2):
            found |= {(change + offset).replace(tzinfo=None) + timedelta(minutes=m) for m in (-1, 0, 1)}
    return sorted(found)


def local_offset(instant: datetime, zone: str) -> timedelta:
    return to_local(instant, pytz.timezone(zone)).utcoffset() or timedelta(0)


def instant_of(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, Any]:
    """What moment-timezone says."""
    months = [FIRST + timedelta(days=15 + 30 * month) for month in range(48)]
    zones = pytz.all_timezones
    question = {
        "zones": zones,
        "from": milliseconds(FIRST),
        "to": milliseconds(LAST),
        "instants": {zone: [milliseconds(c + d) for c in changes(zone) for d in AROUND]
                     + [milliseconds(month) for month in months] for zone in zones},
        "walls": {zone: [f"{wall:%Y-%m-%dT%H:%M:%S}" for wall in walls(zone)] for zone in zones},
        "webinars": [(milliseconds(each.start), milliseconds(each.end)) for each in webinars()],
    }  # fmt: skip
    return ask_moment("zones.mjs", question)


def test_it_knows_every_zone(elsewhere: dict[str, Any]) -> None:
    assert sorted(elsewhere["zones"]) == sorted(pytz.all_timezones)


def test_offsets_agree_around_every_change_that_either_knows(elsewhere: dict[str, Any]) -> None:
    compared, wrong = 0, []
    for zone, found in elsewhere["zones"].items():
        for instant, minutes in found["offsets"]:
            compared += 1
            ours = local_offset(instant_of(instant), zone)
            if ours != timedelta(minutes=minutes):
                wrong.append((zone, instant_of(instant).isoformat(), str(ours), minutes))
    assert wrong == []
    assert compared > 50_000


def test_wall_times_agree_in_every_gap_and_doubled_hour(elsewhere: dict[str, Any]) -> None:
    compared, wrong = 0, []
    for zone, found in elsewhere["zones"].items():
        for wall, instant in found["walls"]:
            compared += 1
            ours = computed_to_utc(datetime.fromisoformat(wall), pytz.timezone(zone))
            if ours != instant_of(instant):
                wrong.append((zone, wall, ours.isoformat(), instant_of(instant).isoformat()))
    assert wrong == []
    assert compared > 5_000


def test_the_trilateral_sequence_is_due_at_the_same_instants(elsewhere: dict[str, Any]) -> None:
    events, wrong = webinars(), []
    assert len(events) > 100
    for zone, found in elsewhere["zones"].items():
        for event, theirs in zip(events, found["due"], strict=True):
            confirmation, *ours = timings(event, pytz.timezone(zone))
            assert confirmation.due_at is None
            if [each.due_at for each in ours] != [instant_of(instant) for instant in theirs]:
                wrong.append((zone, event.start.isoformat(), ours, theirs))
    assert wrong == []


def test_the_webinar_of_july_2025_is_among_them() -> None:
    starts = [each.start for each in webinars()]
    assert to_utc(datetime.fromisoformat("2025-07-03T13:00"), pytz.timezone("Europe/Zurich")) in starts
    assert datetime(2025, 7, 3, 11, tzinfo=UTC) in starts
