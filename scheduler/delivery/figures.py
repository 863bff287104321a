"""Metrics of mails: their lateness, their outcomes, and the relay's response time."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.ledger.entries import Outcome, Start
from scheduler.metrics import ATTEMPTS, LATENESS, RELAY


def count_begun(starts: Iterable[Start]) -> None:
    """Observe the lateness of mails that begin, except repeated tries."""
    for start in starts:
        if not start.claimed.attempts:
            LATENESS.observe(max(0.0, (start.at - start.claimed.due_at).total_seconds()))


def count_landed(relay: str, starts: Iterable[Start], outcomes: Iterable[Outcome]) -> None:
    """Count the outcomes of these mails at `relay`, and observe the seconds that each took."""
    for start, outcome in zip(starts, outcomes, strict=True):
        if outcome.attempt == "not_sent":
            continue
        is_the_relays = outcome.attempt == "deferred" and not outcome.counts
        ATTEMPTS.labels(relay, "relay" if is_the_relays else outcome.attempt).inc()
        RELAY.labels(relay).observe(max(0.0, (outcome.at - start.at).total_seconds()))
