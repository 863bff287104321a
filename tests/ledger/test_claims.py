"""Leases and outcomes, on both engines: one sender for each delivery, and what is left when a sender is gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.ledger import claims, outcomes, restored, settling
from scheduler.ledger.entries import Claimed, Outcome, Version
from scheduler.ledger.states import State, Why
from tests.support import Ledger, start, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

BEFORE = utc("2025-06-12 07:59")
ANNOUNCED = utc("2025-06-12 08:00")
REMINDED = utc("2025-07-02 07:00")  # in Geneva 09:00 on the day before
LATE = utc("2025-07-03 11:00")  # the start: no reminder is useful any more


def planned(database: Database) -> Ledger:
    """Three registrants of a webinar, planned on the day when it was announced."""
    ledger = Ledger(database)
    ledger.govern(webinar())
    for name in "abc":
        ledger.register(f"{name}@example.org")
    ledger.plan(ANNOUNCED)
    return ledger


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return planned(database)


def do(ledger: Ledger, function: Any, *args: Any, **more: Any) -> Any:
    """One of the functions of `claims`, in a transaction of its own."""
    with ledger.database.transaction() as conn:
        return function(conn, *args, **more)


def claim(
    ledger: Ledger, token: str = "one", now: datetime = ANNOUNCED, limit: int = 10, **which: Any
) -> list[Claimed]:
    found: list[Claimed] = do(ledger, claims.claim, now, token, limit, limit, **which)
    return sorted(found, key=lambda one: one.address)  # of those due together anyone may be the first


def begin(
    ledger: Ledger, *claimed: Claimed, now: datetime = ANNOUNCED, invitation: Version | None = None
) -> set[int]:
    starts = [start(one, now, invitation=invitation) for one in claimed]
    begun: set[int] = do(ledger, outcomes.begin, starts)
    return begun


def conclude(ledger: Ledger, claimed: Claimed, state: Any, attempt: str, **more: Any) -> None:
    do(ledger, outcomes.conclude, [Outcome(claimed, state, ANNOUNCED, attempt, **more)])


def is_gone(ledger: Ledger, service: str) -> int:
    """The service that claimed by this token is gone, and others have noticed. Returns how many are in doubt."""
    doubtful: int = do(ledger, claims.end_leases, ANNOUNCED, [service])
    return doubtful


def attempts(ledger: Ledger) -> list[tuple[str, str]]:
    rows = ledger.sql("SELECT lease_token, outcome FROM attempt ORDER BY id")
    return [(row.lease_token, row.outcome) for row in rows]


def confirmation(ledger: Ledger, address: str = "a@example.org") -> str:
    return ledger.states(address)["confirmation"]


# Claiming


@pytest.mark.engines("both")
def test_a_due_delivery_is_claimed_with_everything_that_its_mail_needs(ledger: Ledger) -> None:
    first, second, third = claim(ledger)
    assert (first.message, first.address, first.zone) == ("confirmation", "a@example.org", "Europe/Zurich")
    assert (second.address, third.address) == ("b@example.org", "c@example.org")
    assert first.uid.endswith("@who.int")


def test_a_confirmation_goes_before_the_reminders_that_were_due_long_before_it(ledger: Ledger) -> None:
    for one in claim(ledger):
        conclude(ledger, one, State.SENT, "sent")
    ledger.register("late@example.org")
    ledger.plan(utc("2025-07-02 07:30"))
    found = claim(ledger, now=utc("2025-07-02 07:30"), limit=2)
    assert {one.message: one.address == "late@example.org" for one in found} == {
        "confirmation": True,
        "reminder-day": False,
    }


def test_nothing_is_claimed_for_a_webinar_that_is_not_live_nor_before_it_is_due(ledger: Ledger) -> None:
    ledger.govern(webinar(status="draft"))
    ledger.plan(ANNOUNCED)
    assert claim(ledger) == []
    assert claim(ledger, drafts_too=True, without={"w"}) == []
    assert {one.message for one in claim(ledger, drafts_too=True)} == {"confirmation"}
    ledger.govern(webinar(status="ended"))
    assert claim(ledger, now=REMINDED, drafts_too=True) == []


def test_nothing_is_claimed_by_a_revision_that_is_not_known_here(ledger: Ledger) -> None:
    ledger.govern(webinar(title="A new title"))
    ledger.plan(ANNOUNCED)
    assert ledger.revisions.version == 2
    assert claim(ledger, version=1) == []
    assert len(claim(ledger, version=2)) == 3


def test_a_delivery_that_is_no_longer_useful_is_not_claimed(ledger: Ledger) -> None:
    assert {one.message for one in claim(ledger, now=LATE)} == {"confirmation"}


@pytest.mark.engines("both")
def test_a_burst_of_one_webinar_keeps_no_other_waiting(database: Database) -> None:
    ledger = Ledger(database)
    ledger.govern(webinar(), webinar(id="other"))
    for name in range(40):
        ledger.register(f"{name}@example.org", "w")
    ledger.register("one@example.org", "other")
    ledger.plan(ANNOUNCED)
    found = [one for turn in range(20) for one in claim(ledger, f"{turn}", limit=1)]
    assert "other" in [one.webinar for one in found]


@pytest.mark.engines("both")
def test_a_lease_lasts_until_its_holder_is_gone(ledger: Ledger) -> None:
    assert len(claim(ledger, "one")) == 3
    assert claim(ledger, "other") == []
    is_gone(ledger, "one")
    assert len(claim(ledger, "other")) == 3


def test_two_replicas_claim_at_one_moment_without_waiting_for_each_other(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    there = planned(database)
    with database.transaction() as one, database.transaction() as other:
        first = claims.claim(one, ANNOUNCED, "one", 2, 0)
        second = claims.claim(other, ANNOUNCED, "other", 2, 0)
    assert sorted(claimed.address[0] for claimed in (*first, *second)) == ["a", "b", "c"]
    assert len(first) == 2
    assert claim(there) == []
    database.close()


# Beginning


def test_sending_is_on_record_before_a_byte_goes_out(ledger: Ledger) -> None:
    first, second, third = claim(ledger)
    assert begin(ledger, first, third) == {first.id, third.id}
    assert [confirmation(ledger, one.address) for one in (first, second, third)] == [
        "sending", "pending", "sending"
    ]  # fmt: skip
    assert attempts(ledger) == [("one", ""), ("one", "")]


def test_who_lost_the_lease_begins_nothing(ledger: Ledger) -> None:
    first = claim(ledger)[0]
    is_gone(ledger, "one")
    claim(ledger, "other")
    assert begin(ledger, first) == set()
    assert attempts(ledger) == []


def test_a_delivery_that_was_planned_again_is_not_begun(ledger: Ledger) -> None:
    first = claim(ledger)[0]
    ledger.sql("UPDATE registrants SET timezone = 'Asia/Tokyo' WHERE email = 'a@example.org'")
    ledger.plan(ANNOUNCED)
    assert begin(ledger, first) == set()
    assert len(claim(ledger, "other")) == 1, "it is free for a mail with the new time"


def test_what_became_useless_since_is_not_begun(ledger: Ledger) -> None:
    reminders = [one for one in claim(ledger, now=REMINDED) if one.message == "reminder-day"]
    assert begin(ledger, *reminders, now=utc("2025-07-03 10:00")) == set()


@pytest.mark.engines("both")
def test_a_version_of_an_invitation_is_stored_once_and_its_competitor_renders_again(
    ledger: Ledger,
) -> None:
    first, second, _ = claim(ledger)
    version = Version(first.uid, 0, "REQUEST", ANNOUNCED, "facts", b"BEGIN:VCALENDAR")
    assert begin(ledger, first, invitation=version) == {first.id}
    other = replace(version, calendar=b"BEGIN:VCALENDAR of a later mail")
    assert begin(ledger, second, invitation=other) == set()
    stored = do(ledger, outcomes.last_versions, [first.uid])[first.uid]
    assert (stored.calendar, stored.stored) == (b"BEGIN:VCALENDAR", True)
    again = claim(ledger, "again")
    assert [one.id for one in again] == [second.id], "given back at once"
    assert begin(ledger, *again, invitation=stored) == {second.id}


# Outcomes


@pytest.mark.engines("both")
def test_an_outcome_is_the_state_and_is_kept_with_the_relays_words(ledger: Ledger) -> None:
    first, second, third = claim(ledger)
    begin(ledger, first, second, third)
    conclude(ledger, first, State.SENT, "sent", stage="content", code=250, reply="Queued")
    conclude(ledger, second, State.FAILED, "refused", reason="refused: 550 5.1.1")
    conclude(ledger, third, State.PENDING, "deferred", again_at=REMINDED)
    states = [ledger.states(one.address)["confirmation"] for one in (first, second, third)]
    assert states == ["sent", "failed: refused: 550 5.1.1", "pending"]
    sent, failed, deferred = ledger.deliveries()[::4]
    assert (sent["sent_at"], failed["sent_at"]) == (ANNOUNCED, None)
    assert (deferred["next_attempt_at"], deferred["attempts"]) == (REMINDED, 1)
    assert sorted(attempts(ledger)) == [("one", "deferred"), ("one", "refused"), ("one", "sent")]
    assert ledger.sql("SELECT code, reply FROM attempt WHERE outcome = 'sent'") == [(250, "Queued")]


def test_the_relays_trouble_costs_no_mail_a_try(ledger: Ledger) -> None:
    first = claim(ledger)[0]
    conclude(ledger, first, State.PENDING, "deferred", counts=False)
    delivery = ledger.deliveries("a@example.org")[0]
    assert (delivery["attempts"], delivery["next_attempt_at"]) == (0, ANNOUNCED)


def test_the_outcome_of_a_lost_lease_is_an_attempt_not_the_state(ledger: Ledger) -> None:
    first = claim(ledger, limit=1)[0]
    begin(ledger, first)
    is_gone(ledger, "one")
    do(ledger, settling.resolve_doubts, ANNOUNCED, {"w": webinar()})
    ledger.plan(ANNOUNCED)
    again = next(one for one in claim(ledger, "other") if one.id == first.id)
    begin(ledger, again)
    assert attempts(ledger) == [("one", "in_doubt"), ("other", "")]

    conclude(ledger, first, State.SENT, "sent", code=250, reply="Queued")
    assert confirmation(ledger, first.address) == "sending"
    assert attempts(ledger) == [("one", "in_doubt"), ("other", "")], "that it was in doubt stays on record"
    assert ledger.sql("SELECT code, reply FROM attempt WHERE outcome = 'in_doubt'") == [(250, "Queued")]
    conclude(ledger, again, State.FAILED, "refused")
    assert confirmation(ledger, first.address) == "failed"


# A sender that is gone


@pytest.mark.engines("both")
def test_ended_leases_leave_started_mails_in_doubt_and_others_free(ledger: Ledger) -> None:
    first, *rest = claim(ledger)
    begin(ledger, first)
    assert do(ledger, claims.end_leases, ANNOUNCED) == 1
    assert confirmation(ledger) == "in_doubt: its sender stopped while sending"
    assert attempts(ledger) == [("one", "in_doubt")]
    assert [one.id for one in claim(ledger, "other")] == [one.id for one in rest]


def test_only_own_leases_that_are_not_in_hand_are_ended(ledger: Ledger) -> None:
    in_hand, lost = claim(ledger, "mine", limit=2)
    (theirs,) = claim(ledger, "theirs")
    begin(ledger, lost, theirs)
    assert do(ledger, claims.end_leases, ANNOUNCED, ["mine"], [in_hand.id]) == 1
    assert confirmation(ledger, lost.address) == "in_doubt: its sender stopped while sending"
    assert confirmation(ledger, theirs.address) == "sending"
    assert begin(ledger, in_hand) == {in_hand.id}


def joined(ledger: Ledger, holder: int, counter: int) -> None:
    ledger.sql(
        "INSERT INTO service (holder, counter, tz_version, started_at) VALUES (:holder, :counter, '', :now)",
        holder=holder,
        counter=counter,
        now=ANNOUNCED,
    )


@pytest.mark.engines("both")
def test_the_leases_of_those_who_are_gone_end_but_not_of_who_has_come_back_meanwhile(ledger: Ledger) -> None:
    for holder, counter in ((1, 5), (2, 7)):
        joined(ledger, holder, counter)
    mail = {
        name: claim(ledger, claims.new_token(holder), limit=1)[0]
        for name, holder in (("gone", 1), ("back", 2), ("unknown", 3))
    }
    begin(ledger, *mail.values())
    gone = {claims.name_of(1): 5, claims.name_of(2): 6, claims.name_of(3): None}
    assert do(ledger, claims.end_leases_of_gone, ANNOUNCED, gone) == 2
    states = {name: confirmation(ledger, one.address).partition(":")[0] for name, one in mail.items()}
    assert states == {"gone": "in_doubt", "back": "sending", "unknown": "in_doubt"}
    assert ledger.sql("SELECT holder FROM service") == [(2,)]


def test_who_was_unknown_and_has_joined_meanwhile_keeps_its_leases(ledger: Ledger) -> None:
    begin(ledger, claim(ledger, claims.new_token(3))[0])
    joined(ledger, 3, 1)
    assert do(ledger, claims.end_leases_of_gone, ANNOUNCED, {claims.name_of(3): None}) == 0


@pytest.mark.parametrize(("policy", "state"), [("resend", "pending"), ("hold", "held: doubt")])
def test_the_organizer_decides_what_becomes_of_doubt(ledger: Ledger, policy: str, state: str) -> None:
    first = claim(ledger, limit=1)[0]
    begin(ledger, first)
    conclude(ledger, first, State.IN_DOUBT, "in_doubt", reason="the relay's answer was lost")
    do(ledger, settling.resolve_doubts, ANNOUNCED, {"other": webinar(on_doubt=policy)})
    assert confirmation(ledger, first.address) == "in_doubt: the relay's answer was lost"
    do(ledger, settling.resolve_doubts, ANNOUNCED, {"w": webinar(on_doubt=policy)})
    assert confirmation(ledger, first.address) == state


def test_a_changed_policy_releases_mails_held_for_doubt(ledger: Ledger) -> None:
    doubtful, broken = claim(ledger, limit=2)
    begin(ledger, doubtful)
    conclude(ledger, doubtful, State.IN_DOUBT, "in_doubt")
    conclude(ledger, broken, State.HELD, "not_sent", reason=Why.TEMPLATE)
    do(ledger, settling.resolve_doubts, ANNOUNCED, {"w": webinar(on_doubt="hold")})
    do(ledger, settling.resolve_doubts, ANNOUNCED, {"w": webinar(on_doubt="hold")})
    assert confirmation(ledger, doubtful.address) == "held: doubt"
    do(ledger, settling.resolve_doubts, ANNOUNCED, {"w": webinar(on_doubt="resend")})
    assert confirmation(ledger, doubtful.address) == "pending"
    assert confirmation(ledger, broken.address) == "held: template"


def test_doubt_about_a_mail_that_is_no_longer_useful_stays(ledger: Ledger) -> None:
    first = claim(ledger, limit=1)[0]
    begin(ledger, first)
    conclude(ledger, first, State.IN_DOUBT, "in_doubt")
    do(ledger, settling.resolve_doubts, utc("2025-07-03 13:00"), {"w": webinar()})
    assert confirmation(ledger, first.address) == "in_doubt"


# Time


def test_an_unsent_delivery_expires_with_its_reason(ledger: Ledger) -> None:
    one, two, left = (one for one in claim(ledger, now=REMINDED) if one.message == "confirmation")
    begin(ledger, one)
    conclude(ledger, two, State.HELD, "not_sent", reason=Why.TEMPLATE)
    over = utc("2025-07-03 13:00")
    do(ledger, settling.expire, over)
    assert confirmation(ledger, one.address) == "sending", "nobody knows yet"
    assert confirmation(ledger, two.address) == "expired: no longer useful; was held: template"
    assert ledger.states(left.address) == {
        "confirmation": "expired: no longer useful",
        "reminder-day": "expired: no longer useful",
        "reminder-hour": "expired: no longer useful",
        "follow-up": "pending",
    }
    assert do(ledger, settling.expire, over) == 0


@pytest.mark.engines("both")
def test_the_next_wake_is_when_something_is_due_or_expires(ledger: Ledger) -> None:
    assert do(ledger, claims.next_wake, BEFORE) == ANNOUNCED
    for one in claim(ledger):
        assert do(ledger, claims.next_wake, BEFORE) == REMINDED, "what is leased needs no waking"
        conclude(ledger, one, State.SENT, "sent")
    assert do(ledger, claims.next_wake, BEFORE) == REMINDED
    ledger.sql("UPDATE delivery SET state = 'sent'")
    assert do(ledger, claims.next_wake, BEFORE) is None


def test_a_due_delivery_does_not_hide_the_next_due_time(ledger: Ledger) -> None:
    assert ledger.states()["confirmation"] == "pending"
    assert do(ledger, claims.next_wake, ANNOUNCED) == REMINDED


# Held


def test_a_database_that_was_set_back_holds_what_may_have_gone_out_since(ledger: Ledger) -> None:
    """Whatever was due, in each state that is not final, and notices; nothing that is still ahead."""
    first, second, third = claim(ledger)
    begin(ledger, first, second)
    conclude(ledger, second, State.IN_DOUBT, "in_doubt")
    conclude(ledger, third, State.HELD, "not_sent", reason=Why.TEMPLATE)
    ledger.sql(
        "INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency, due_at, expires_at,"
        " next_attempt_at, attempts, message_id, planned_at) SELECT registration_id, webinar, 'change', 1, 'pending',"
        " '', 0, :later, :later, :later, 0, '', :later FROM delivery WHERE message = 'confirmation'",
        later=LATE,
    )
    assert do(ledger, restored.hold, ANNOUNCED) == 6
    assert do(ledger, restored.hold, ANNOUNCED) == 0
    held = "held: restored"
    assert ledger.states(first.address) == {
        "confirmation": held, "change#1": held, "reminder-day": "pending", "reminder-hour": "pending",
        "follow-up": "pending",
    }  # fmt: skip
    assert sorted(attempts(ledger)) == [("one", "in_doubt")] * 2
    assert do(ledger, restored.count) == 6

    do(ledger, settling.resolve_doubts, ANNOUNCED, {"w": webinar(on_doubt="resend")})
    do(ledger, settling.release_held, ANNOUNCED, ["w"], ["confirmation", "change"])
    do(ledger, settling.release_held_by_config, ANNOUNCED)
    assert {confirmation(ledger, one.address) for one in (first, second, third)} == {held}
    assert begin(ledger, first) == set(), "nothing that was claimed before goes out"


def test_a_delivery_held_for_its_text_is_released_when_the_text_is_sound(ledger: Ledger) -> None:
    for one, why in zip(claim(ledger), (Why.TEMPLATE, Why.DATA, Why.DOUBT), strict=True):
        conclude(ledger, one, State.HELD, "not_sent", reason=why)
    assert do(ledger, settling.release_held, ANNOUNCED, ["w"], []) == 0
    assert do(ledger, settling.release_held, ANNOUNCED, ["w"], ["reminder-day"]) == 0
    assert do(ledger, settling.release_held, ANNOUNCED, ["w"], ["confirmation"]) == 2
    assert confirmation(ledger, "c@example.org") == "held: doubt", "that is for a person to decide"


def test_what_the_settings_held_is_free_at_a_start(ledger: Ledger) -> None:
    conclude(ledger, claim(ledger)[0], State.HELD, "not_sent", reason=Why.CONFIG)
    assert do(ledger, settling.release_held_by_config, ANNOUNCED) == 1
    assert confirmation(ledger) == "pending"
