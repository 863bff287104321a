"""The two clocks: both say UTC, and a virtual one stands still until it is moved, forward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import pytz

from scheduler.clock import SystemClock, VirtualClock

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
