"""Events are counted within limits, in bounded memory. Passwords: tests/web/organizers/test_accounts.py."""

from __future__ import annotations

from scheduler.http.counts import Counts, count_key


def test_an_event_that_is_over_one_limit_counts_under_no_key() -> None:
    counts = Counts(60, lambda: 0.0)
    both, other = {count_key("a"): 1, count_key("b"): 2}, {count_key("b"): 2}
    assert counts.begin(both)
    assert not counts.begin(both)
    assert counts.begin(other), "the refused one did not count"
    assert not counts.begin(other)


def test_a_count_ends_after_its_time() -> None:
    at = 0.0
    counts = Counts(60, lambda: at)
    assert counts.begin({b"a": 1})
    at = 61.0
    assert counts.begin({b"a": 1})


def test_there_are_no_more_counts_than_fit() -> None:
    counts = Counts(60, lambda: 0.0)
    assert counts.begin({b"a": 9, b"b": 9}, most=2)
    assert not counts.begin({b"c": 9}, most=2)
    assert counts.begin({b"a": 9}, most=2), "a known one needs no room"


def test_parts_of_a_key_do_not_run_into_each_other() -> None:
    assert count_key("a", "bc") != count_key("ab", "c")
    assert len(count_key("x" * 10_000)) == 16
