"""How many mails may begin when: the arithmetic, on a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.delivery.rate import HOUR, SLOWEST, STEADY_SECONDS, STEP_SECONDS, Rate

START = 400_000 * HOUR + 1800.0  # half past some hour


def used(rate: Rate, per_second: float, seconds: int, at: float = START) -> float:
    """So many mails a second are accepted for a while; returns when it ends."""
    for _ in range(seconds * 10):
        at += 0.1
        rate.note_accepted(round(per_second / 10), at)
    return at


# Evenly spaced.
def test_turns_are_spaced_evenly_from_the_first_on() -> None:
    rate = Rate(per_minute=120)
    assert rate.turns(1, START) == (1, -0.5, 0.5)  # after a time without mails: the first goes at once
    assert rate.turns(1, START) == (1, 0.0, 0.5)
    assert rate.turns(1, START) == (1, 0.5, 0.5)
    assert rate.turns(1, START + 0.25) == (1, 0.75, 0.5)


@pytest.mark.parametrize(("per_minute", "together"), [(1, 1), (60, 1), (240, 2), (6000, 50)])
def test_half_a_seconds_worth_is_reserved_at_once_and_one_at_least(per_minute: int, together: int) -> None:
    assert Rate(per_minute).turns(1000, START).number == together


def test_no_more_are_reserved_than_are_wanted() -> None:
    assert Rate(6000).turns(7, START).number == 7


def test_without_limits_all_may_begin_at_once() -> None:
    assert Rate().turns(1000, START) == (1000, 0.0, 0.0)


# Complaints.
def test_a_complaint_halves_what_the_relay_really_took() -> None:
    rate = Rate(per_minute=60_000)
    at = used(rate, 100, seconds=20)
    rate.slow_down(at)
    assert rate.per_second == pytest.approx(50, rel=0.05)


def test_where_no_limit_is_set_one_comes_into_being_and_vanishes() -> None:
    rate = Rate()
    at = used(rate, 100, seconds=20)
    assert rate.per_second is None
    rate.slow_down(at)
    assert rate.per_second == pytest.approx(50, rel=0.05)
    at = used(rate, 50, seconds=90, at=at)
    assert rate.per_second == pytest.approx(95, rel=0.05)
    used(rate, 90, seconds=20, at=at)
    assert rate.per_second is None


def test_it_climbs_back_to_the_setting_and_no_further() -> None:
    rate = Rate(per_minute=600)
    at = used(rate, 10, seconds=20)
    rate.slow_down(at)
    assert rate.per_second == pytest.approx(5, rel=0.05)
    used(rate, 10, seconds=int(STEP_SECONDS * 11), at=at)
    assert rate.per_second == 10


def test_what_fails_together_is_one_complaint() -> None:
    rate = Rate()
    at = used(rate, 80, seconds=20)
    for number in range(32):
        rate.slow_down(at + number / 100)
    assert rate.per_second == pytest.approx(40, rel=0.05)
    rate.slow_down(at + STEADY_SECONDS)
    assert rate.per_second is not None
    assert rate.per_second < 20


def test_where_nothing_is_accepted_it_does_not_climb() -> None:
    rate = Rate()
    at = used(rate, 80, seconds=20)
    rate.slow_down(at)
    slowed = rate.per_second
    rate.turns(1, at + 3600)
    assert rate.per_second == slowed


def test_however_much_a_relay_complains_mails_go_on() -> None:
    rate = Rate()
    for number in range(100):
        rate.slow_down(START + number * STEADY_SECONDS)
    assert rate.per_second == SLOWEST


def test_a_setting_below_the_slowest_rate_holds() -> None:
    rate = Rate(per_minute=1)
    rate.slow_down(START)
    assert rate.per_second == 1 / 60


# The day.
def test_a_full_day_says_when_there_is_room_again() -> None:
    rate = Rate(per_day=100)
    assert rate.turns(80, START).number == 80
    assert rate.turns(80, START + HOUR).number == 20
    full = rate.turns(1, START + 2 * HOUR)
    assert full.number == 0
    room_at = START + 2 * HOUR + full.after
    assert room_at == 400_000 * HOUR + 25 * HOUR  # 24 hours after the hour of the first
    assert rate.turns(1, room_at - 1).number == 0
    assert rate.turns(100, room_at).number == 80


def test_a_turn_counts_in_the_hour_in_which_it_comes() -> None:
    rate, last_second = Rate(per_minute=60, per_day=10), 400_001 * HOUR - 1.0
    for _ in range(3):
        rate.turns(1, last_second)
    assert rate.hours == {400_000: 2, 400_001: 1}


CALLS = st.lists(
    st.tuples(
        st.one_of(st.floats(0, 10), st.floats(0, 2 * HOUR), st.floats(0, 26 * HOUR)), st.integers(1, 50)
    ),
    max_size=60,
)


@given(st.integers(1, 100), st.sampled_from([None, 1, 6, 600]), CALLS)
def test_in_no_24_hours_do_more_begin_than_the_day_allows(
    per_day: int, per_minute: int | None, calls: list[tuple[float, int]]
) -> None:
    rate, at, begun = Rate(per_minute, per_day), START, list[float]()
    for seconds, wanted in calls:
        at += seconds
        turns = rate.turns(wanted, at)
        begun += [max(at, at + turns.after + number * turns.apart) for number in range(turns.number)]
    for first in begun:
        assert sum(first <= one < first + 24 * HOUR for one in begun) <= per_day


# A clock that is put back.
@pytest.mark.parametrize("seconds", [HOUR, 365 * 24 * HOUR])
def test_a_clock_that_is_put_back_stops_no_mail(seconds: float) -> None:
    rate = Rate(per_minute=60, per_day=10)
    rate.slow_down(START)
    rate.turns(3, START)
    earlier = START - seconds
    assert rate.turns(1, earlier) == (1, 0.0, pytest.approx(2.0))
    rate.note_accepted(1, earlier)
    rate.note_accepted(1, earlier + STEP_SECONDS)
    assert rate.per_second == pytest.approx(0.55)


def test_what_was_counted_in_the_future_still_counts_for_a_day() -> None:
    rate = Rate(per_day=10)
    assert rate.turns(8, START + 1000 * HOUR).number == 8
    assert rate.turns(8, START).number == 2
    assert rate.turns(8, START + 25 * HOUR).number == 8
