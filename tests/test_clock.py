"""The two clocks: both say UTC, and a virtual one stands still until it is moved, forward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import pytz

from scheduler.clock import LASTS, SteadyClock, SystemClock, VirtualClock

NOON = datetime(2025, 7, 3, 12, tzinfo=UTC)


def test_the_systems_clock_says_the_instant_in_utc() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


def test_a_virtual_clock_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(NOON)
    assert (clock.now(), clock.now()) == (NOON, NOON)
    clock.move_to(NOON + timedelta(days=30))
    assert clock.now() == NOON + timedelta(days=30)


def test_a_virtual_clock_says_utc_whatever_zone_it_was_set_in() -> None:
    geneva = pytz.timezone("Europe/Zurich").localize(datetime(2025, 7, 3, 14))
    clock = VirtualClock(geneva)
    assert clock.now().isoformat() == "2025-07-03T12:00:00+00:00"
    clock.move_to(geneva + timedelta(hours=1))
    assert clock.now().isoformat() == "2025-07-03T13:00:00+00:00"


def test_a_virtual_clock_does_not_run_back() -> None:
    clock = VirtualClock(NOON)
    clock.move_to(NOON)
    with pytest.raises(ValueError, match="does not run back"):
        clock.move_to(NOON - timedelta(microseconds=1))
    assert clock.now() == NOON


class Machine:
    """A system's clock and its time since boot."""

    def __init__(self) -> None:
        self.wall, self.since_boot = NOON, timedelta(days=3)
        self.clock = SteadyClock(lambda: self.wall, lambda: self.since_boot)

    def runs(self, **time: float) -> datetime:
        self.wall += timedelta(**time)
        self.since_boot += timedelta(**time)
        return self.clock.now()


def test_it_runs_as_the_system_s_clock_does_and_follows_small_corrections() -> None:
    here = Machine()
    for _ in range(100):
        here.wall += timedelta(seconds=1)
        assert here.runs(seconds=30) == here.wall
        assert here.clock.trouble == ""


@pytest.mark.parametrize(("jump", "way"), [(timedelta(days=1), "forward"), (-timedelta(days=1), "back")])
def test_a_clock_that_is_set_is_followed_when_that_has_lasted(jump: timedelta, way: str) -> None:
    here = Machine()
    here.wall += jump
    assert here.runs(seconds=30) == NOON + timedelta(seconds=30)
    assert f"set {way} by 1 day, 0:00:00" in here.clock.trouble
    assert here.runs(seconds=LASTS.total_seconds()) == here.wall
    assert here.clock.trouble == ""


def test_a_clock_that_is_set_right_again_was_never_followed() -> None:
    here = Machine()
    here.wall += timedelta(days=400)
    assert here.runs(seconds=59) == NOON + timedelta(seconds=59)
    here.wall -= timedelta(days=400)
    assert here.runs(seconds=59) == here.wall
    assert here.clock.trouble == ""


def test_a_clock_that_is_set_again_and_again_is_not_followed() -> None:
    here = Machine()
    for number in range(1, 9):
        here.wall += timedelta(hours=1)
        assert here.runs(seconds=40) == NOON + timedelta(seconds=40 * number)


def test_a_machine_that_slept_has_no_clock_that_was_set() -> None:
    here = Machine()
    assert here.runs(hours=9) == NOON + timedelta(hours=9)
    assert here.clock.trouble == ""
