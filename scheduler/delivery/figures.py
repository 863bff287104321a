"""What metrics count of mails: how late they begin, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.ledger.entries import Outcome, Start
from scheduler.metrics import ATTEMPTS, LATENESS, RELAY


def count_begun(starts: Iterable[Start]) -> None:
    """Count mails that go on the wire: of first tries, how late they are."""
    for start in starts:
        if not start.claimed.attempts:
            LATENESS.observe(max(0.0, (start.at - start.claimed.due_at).total_seconds()))


def count_landed(relay: str, starts: Iterable[Start], outcomes: Iterable[Outcome]) -> None:
    """Count the outcomes of these mails at `relay`, and the seconds that each took."""
    for start, outcome in zip(starts, outcomes, strict=True):
        if outcome.attempt == "not_sent":
            continue
        its_own = outcome.counts or outcome.attempt != "deferred"
        ATTEMPTS.labels(relay, outcome.attempt if its_own else "relay").inc()
        RELAY.labels(relay).observe(max(0.0, (outcome.at - start.at).total_seconds()))
