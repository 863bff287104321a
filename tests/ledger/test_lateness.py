"""Lateness: due mails that have not left, by webinar and message, and the reasons for which they do not count."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from scheduler.database.engine import Database
from scheduler.ledger import claims, outcomes
from scheduler.ledger import lateness as looking
from scheduler.ledger.counting import (
    count_deliveries,
    count_held,
    count_in_doubt,
    live_webinars,
    recent_doubts,
)
from scheduler.ledger.entries import Outcome
from scheduler.ledger.lateness import Late, Lateness, lateness
from scheduler.ledger.states import State
from tests.support import Ledger, start, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-20 08:00")
LATER = NOW + timedelta(minutes=5)
OURS, OTHERS = 1, 2


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """A live webinar, and two people who wait for their confirmations."""
    ledger = Ledger(database)
    ledger.govern(webinar())
    for name in ("anna", "lea"):
        ledger.register(f"{name}@x.org", timezone="Europe/Paris")
    ledger.plan(NOW)
    return ledger


def _seen(ledger: Ledger, holder: int = OURS) -> Lateness:
    with ledger.database.reading() as conn:
        return lateness(conn, LATER, holder)


def _send(ledger: Ledger, state: State, attempt: str, limit: int = 10, holder: int = OURS) -> None:
    """Give due deliveries this outcome; deferred ones are tried again in an hour."""
    with ledger.database.transaction() as conn:
        claimed = claims.claim(conn, NOW, claims.new_token(holder), limit, limit)
        outcomes.begin(conn, [start(one, NOW) for one in claimed])
        again_at = NOW + timedelta(hours=1) if state is State.PENDING else None
        outcomes.conclude(conn, [Outcome(one, state, NOW, attempt, again_at=again_at) for one in claimed])
    ledger.plan(NOW)


@pytest.mark.engines("both")
def test_the_oldest_of_each_message_since_it_is_due(ledger: Ledger) -> None:
    ledger.govern(webinar(id="other"))
    ledger.register("maya@x.org", "other")
    ledger.plan(NOW + timedelta(minutes=1))
    seen = _seen(ledger)
    assert seen.late == (
        Late("w", "confirmation", NOW),
        Late("other", "confirmation", NOW + timedelta(minutes=1)),
    )
    assert seen.waiting == 3


def test_with_nothing_due_there_is_nothing(ledger: Ledger) -> None:
    _send(ledger, State.SENT, "sent")
    assert _seen(ledger).late == ()
    assert _seen(ledger).waiting == 0


@pytest.mark.parametrize(
    "changed",
    [
        "UPDATE webinar SET status = 'draft'",
        "UPDATE webinar SET status = 'ended'",
        "UPDATE delivery SET state = 'held', reason = 'config' WHERE message = 'confirmation'",
        "UPDATE delivery SET expires_at = next_attempt_at WHERE message = 'confirmation'",
    ],
)
def test_what_may_not_go_is_not_late(ledger: Ledger, changed: str) -> None:
    ledger.sql(changed)
    assert _seen(ledger).late == ()


def test_while_an_edit_waits_only_confirmations_are_late(ledger: Ledger) -> None:
    ledger.sql("UPDATE delivery SET next_attempt_at = :now, due_at = :now WHERE urgency = 1", now=NOW)
    assert {one.message for one in _seen(ledger).late} > {"confirmation"}
    ledger.sql("UPDATE webinar SET waiting_id = 1")
    assert [one.message for one in _seen(ledger).late] == ["confirmation"]


def test_while_a_changed_link_of_their_own_waits_no_reminder_is_late(ledger: Ledger) -> None:
    ledger.sql("UPDATE delivery SET next_attempt_at = :now, due_at = :now WHERE urgency = 1", now=NOW)
    ledger.sql("UPDATE registration SET link_until = :until", until=LATER + timedelta(minutes=1))
    assert [one.message for one in _seen(ledger).late] == ["confirmation"]
    ledger.sql("UPDATE registration SET link_until = :until", until=LATER)
    assert {one.message for one in _seen(ledger).late} > {"confirmation"}


def test_a_mail_that_waits_for_a_planner_that_lags_is_late(ledger: Ledger) -> None:
    """No claim takes it before it is planned again; that is what somebody must know."""
    ledger.sql("UPDATE webinar SET plan = plan + 1")
    with ledger.database.transaction() as conn:
        assert claims.claim(conn, LATER, claims.new_token(OURS), 10, 10) == []
    assert _seen(ledger).late == (Late("w", "confirmation", NOW),)
    assert _seen(ledger).waiting == 2


def test_what_another_service_has_in_hand_is_late_and_not_ours_to_send(ledger: Ledger) -> None:
    with ledger.database.transaction() as conn:
        claimed = claims.claim(conn, NOW, claims.new_token(OTHERS), 10, 10)
        outcomes.begin(conn, [start(claimed[0], NOW)])  # and one is on the wire
    for holder, waiting in ((OURS, 0), (OTHERS, 2)):
        seen = _seen(ledger, holder)
        assert seen.late == (Late("w", "confirmation", NOW),)
        assert seen.waiting == waiting


@pytest.mark.engines("both")
def test_mails_that_were_put_off_are_late_and_counted_since_the_relay_last_accepted_any(
    ledger: Ledger,
) -> None:
    _send(ledger, State.PENDING, "deferred")
    seen = _seen(ledger)
    assert seen.late == (Late("w", "confirmation", NOW),)
    assert (seen.waiting, seen.put_off) == (0, 2)
    ledger.register("maya@x.org")
    ledger.plan(NOW)
    before = _seen(ledger).accepted
    _send(ledger, State.SENT, "sent")
    seen = _seen(ledger)
    assert seen.accepted != before
    assert seen.accepted.at == NOW
    assert (seen.waiting, seen.put_off) == (0, 0), "two mailboxes that are full say nothing about the relay"
    assert seen.late == (Late("w", "confirmation", NOW),)


def test_a_deferred_mail_that_is_not_due_yet_is_not_late(ledger: Ledger) -> None:
    _send(ledger, State.SENT, "sent")
    ledger.sql(
        "UPDATE delivery SET next_attempt_at = :at, due_at = :at WHERE urgency = 1",
        at=LATER + timedelta(seconds=1),
    )
    assert _seen(ledger).late == ()


def test_each_acceptance_of_any_service_shows(ledger: Ledger) -> None:
    seen = [_seen(ledger).accepted]
    for holder in (OURS, OTHERS):
        _send(ledger, State.SENT, "sent", limit=1, holder=holder)
        seen.append(_seen(ledger).accepted)
    assert all(one != another for one, another in pairwise(seen))


def test_at_most_a_fixed_number_of_rows_of_a_backlog_is_read(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MOST", 10)
    for number in range(30):
        ledger.register(f"p{number}@x.org")
    ledger.plan(LATER)
    seen = _seen(ledger)
    assert seen.waiting == 10
    assert seen.late == (Late("w", "confirmation", NOW),), "the oldest all the same"


@pytest.mark.engines("both")
def test_deliveries_by_message_and_state(ledger: Ledger) -> None:
    ledger.sql("UPDATE delivery SET state = 'sent' WHERE message = 'reminder-day' AND id < 4")
    with ledger.database.reading() as conn:
        assert count_deliveries(conn, "w") == {
            ("confirmation", "pending"): 2, ("reminder-day", "sent"): 1, ("reminder-day", "pending"): 1,
            ("reminder-hour", "pending"): 2, ("follow-up", "pending"): 2,
        }  # fmt: skip
        assert count_deliveries(conn, "other") == {}


@pytest.mark.engines("both")
def test_held_deliveries_of_live_webinars_are_counted_by_reason(ledger: Ledger) -> None:
    ledger.govern(webinar(id="draft", status="draft"))
    ledger.register("maya@x.org", "draft")
    ledger.plan(NOW)
    for message, why in (("confirmation", "data"), ("follow-up", "config")):
        ledger.sql(
            "UPDATE delivery SET state = 'held', reason = :why WHERE message = :message",
            why=why,
            message=message,
        )
    with ledger.database.reading() as conn:
        assert count_held(conn) == {("w", "data"): 2, ("w", "config"): 2}


def test_in_doubt_and_still_useful(ledger: Ledger) -> None:
    ledger.sql("UPDATE delivery SET state = 'in_doubt' WHERE message IN ('confirmation', 'follow-up')")
    ledger.sql("UPDATE delivery SET expires_at = :now WHERE message = 'confirmation'", now=LATER)
    with ledger.database.reading() as conn:
        assert count_in_doubt(conn, LATER) == 2


@pytest.mark.engines("both")
def test_attempts_that_ended_in_doubt_of_late(ledger: Ledger) -> None:
    _send(ledger, State.IN_DOUBT, "in_doubt", limit=1)
    _send(ledger, State.SENT, "sent", limit=1)
    with ledger.database.reading() as conn:
        assert recent_doubts(conn, NOW - timedelta(minutes=1), 1000) == 1
        assert recent_doubts(conn, NOW, 1000) == 0
        assert recent_doubts(conn, NOW - timedelta(minutes=1), 1) == 0, "no more than the newest attempt"


def test_of_many_live_webinars_those_nearest_in_time(ledger: Ledger) -> None:
    ledger.govern(webinar(id="draft", status="draft"))
    for name, end in (
        ("past", "2025-06-01 10:00"),
        ("next", "2025-06-21 10:00"),
        ("far", "2026-06-21 10:00"),
    ):
        ledger.govern(webinar(id=name))
        ledger.sql("UPDATE webinar SET ends_at = :end WHERE webinar = :name", end=utc(end), name=name)
    with ledger.database.reading() as conn:
        assert live_webinars(conn, NOW, 3) == ["next", "w", "past"]
