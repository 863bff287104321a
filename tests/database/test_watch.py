"""Who is gone, judged by counters that stand still on the observer's own clock."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from scheduler.database.watch import BEAT_SECONDS, GONE_SECONDS, LEASE_SECONDS, Watch

ONE = "00000001"


class Seen(NamedTuple):
    """One observation of one service."""

    after: float  # seconds since the one before
    counter: int | None
    present: bool | None  # None: it cannot be known
    forgets: bool = False  # our own session broke before it


def judged(history: list[Seen]) -> list[bool]:
    """Whether the service was taken for gone, observation by observation."""
    watch, at, verdicts = Watch(), 1000.0, []
    for seen in history:
        at += seen.after
        if seen.forgets:
            watch.forget()
        present = None if seen.present is None else {ONE} if seen.present else {"another"}
        gone = watch.look(at, {ONE: seen.counter}, present)
        assert gone in ({}, {ONE: seen.counter})
        verdicts.append(bool(gone))
    return verdicts


def beats(seconds: float) -> int:
    """So many observations, one each beat, last at least so long."""
    return int(seconds // BEAT_SECONDS) + 1


def test_a_counter_that_moves_is_alive_whatever_its_lock_says() -> None:
    assert not any(judged([Seen(BEAT_SECONDS, n // 5, False) for n in range(200)]))


def test_who_stands_still_is_gone_after_thirty_seconds_without_its_lock_and_after_two_minutes_with_it() -> (
    None
):
    for present, seconds in ((False, GONE_SECONDS), (True, LEASE_SECONDS), (None, LEASE_SECONDS)):
        verdicts = judged([Seen(BEAT_SECONDS, 7, present)] * 50)
        assert verdicts.index(True) in (beats(seconds) - 1, beats(seconds))


def test_who_holds_leases_without_a_counter_is_gone_after_thirty_seconds() -> None:
    assert judged([Seen(BEAT_SECONDS, None, True)] * 50).index(True) in (
        beats(GONE_SECONDS) - 1, beats(GONE_SECONDS)
    )  # fmt: skip


def test_who_was_suspended_itself_begins_to_look_from_zero() -> None:
    """Its clock has gone on, and the others may have, too."""
    still = Seen(BEAT_SECONDS, 7, False)
    history = [still] * (beats(GONE_SECONDS) - 2)
    assert not any(judged([*history, still._replace(after=180), *history]))


def test_a_lock_that_was_free_for_a_moment_only_proves_nothing() -> None:
    history = [Seen(BEAT_SECONDS, 7, n % 5 != 0) for n in range(beats(LEASE_SECONDS) - 1)]
    assert not any(judged(history))


@given(
    st.lists(
        st.builds(
            Seen,
            after=st.sampled_from([0.1, BEAT_SECONDS, 2 * BEAT_SECONDS, 2 * BEAT_SECONDS + 0.1, 180]),
            counter=st.sampled_from([None, 1, 1, 1, 1, 1, 2]),
            present=st.sampled_from([True, False, False, None]),
            forgets=st.sampled_from([False] * 9 + [True]),
        ),
        max_size=60,
    )
)
def test_every_verdict_follows_from_observations_without_a_gap(history: list[Seen]) -> None:
    """The rule written down once more, over the whole history instead of from one observation to the next."""
    for end, verdict in enumerate(judged(history)):
        still = free = 0.0
        was_free = True
        for seen, later in zip(reversed(history[:end]), reversed(history[1 : end + 1]), strict=True):
            if later.forgets or later.after > 2 * BEAT_SECONDS or seen.counter != history[end].counter:
                break
            still += later.after
            was_free = was_free and all(one.counter is None or one.present is False for one in (seen, later))
            free += later.after if was_free else 0
        close = min(abs(still - LEASE_SECONDS), abs(free - GONE_SECONDS)) < 1e-6  # sums of floats
        assert close or verdict == (still >= LEASE_SECONDS or free >= GONE_SECONDS)
