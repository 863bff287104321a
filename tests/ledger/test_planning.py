"""Who gets what when, on both engines."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from scheduler.database.engine import Database, execute
from tests.explaining import statements
from tests.support import SEQUENCE, Ledger, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

ANNOUNCED = utc("2025-06-12 08:00")
MOVED = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar())
    return ledger


@pytest.mark.engines("both")
def test_each_registrant_gets_each_message_at_the_hour_of_their_own_zone(ledger: Ledger) -> None:
    ledger.register("a@example.org", timezone="Pacific/Kiritimati")
    ledger.register("b@example.org", timezone="Asia/Kathmandu")
    ledger.plan(ANNOUNCED)
    assert ledger.due("a@example.org") == {
        "confirmation": ANNOUNCED,
        "reminder-day": utc("2025-07-02 19:00"),  # 3 July, 09:00 there: the webinar is on the 4th
        "reminder-hour": utc("2025-07-03 10:00"),
        "follow-up": utc("2025-07-04 20:00"),
    }
    assert ledger.due("b@example.org")["reminder-day"] == utc("2025-07-02 03:15")
    assert set(ledger.states().values()) == {"pending"}


def test_who_registers_late_gets_what_is_still_ahead_and_the_ledger_says_why_not_the_rest(
    ledger: Ledger,
) -> None:
    ledger.register("late@example.org", timezone="Europe/Zurich")
    ledger.plan(utc("2025-07-03 09:59"))
    assert ledger.states() == {
        "reminder-day": "skipped: due before it was planned",
        "confirmation": "pending",
        "reminder-hour": "pending",
        "follow-up": "pending",
    }


def test_registered_means_when_the_planner_first_saw_the_row(ledger: Ledger) -> None:
    ledger.register("a@example.org", registered_at=utc("2025-06-01 00:00"))
    ledger.plan(utc("2025-07-03 10:30"))
    assert ledger.states()["reminder-hour"] == "skipped: due before it was planned"


def test_a_webinar_that_is_over_at_the_first_start_sends_nothing_and_says_why(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(utc("2025-08-01 00:00"))
    assert {state.split(":")[0] for state in ledger.states().values()} == {"skipped"}
    assert ledger.states()["confirmation"] == "skipped: no longer useful when it was planned"


def test_planning_again_changes_nothing(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    before = ledger.deliveries()
    ledger.plan(utc("2025-07-03 10:30"))
    assert ledger.deliveries() == before


def test_a_late_reminder_that_was_planned_ahead_stays_pending(ledger: Ledger) -> None:
    ledger.register("a@example.org", name="A")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE registrants SET name = 'B'")
    ledger.plan(utc("2025-07-02 08:00"))  # 09:00 in Geneva was an hour ago
    assert ledger.states()["reminder-day"] == "pending"


def test_a_corrected_zone_moves_pending_deliveries(ledger: Ledger) -> None:
    ledger.register("a@example.org", country="AU")
    ledger.plan(ANNOUNCED)
    assert ledger.due()["reminder-day"] == utc("2025-07-01 23:00")
    ledger.sql("UPDATE registrants SET timezone = 'Australia/Perth'")
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.due()["reminder-day"] == utc("2025-07-02 01:00")
    assert ledger.due()["confirmation"] == ANNOUNCED


def test_a_corrected_zone_that_puts_a_reminder_into_the_past_skips_it(ledger: Ledger) -> None:
    ledger.register("a@example.org", timezone="America/New_York")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE registrants SET timezone = 'Asia/Tokyo'")
    ledger.plan(utc("2025-07-02 06:00"))
    assert ledger.states()["reminder-day"] == "skipped: due before it was planned"
    assert ledger.states()["reminder-hour"] == "pending"


# Reloads


@pytest.mark.engines("both")
def test_a_nightly_reload_in_one_transaction_sends_nothing(ledger: Ledger) -> None:
    ledger.register("a@example.org", name="A")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    before = ledger.deliveries()
    with ledger.database.transaction() as conn:
        execute(conn, "DELETE FROM registrants")
        execute(conn, "INSERT INTO registrants (webinar, email, name) VALUES ('w', 'A@example.org', 'A')")
    ledger.plan(utc("2025-06-13 02:00"))
    assert [(d["id"], d["state"]) for d in ledger.deliveries()] == [(d["id"], d["state"]) for d in before]


def test_a_nightly_reload_in_two_transactions_sends_nothing_and_loses_nothing(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.sql("DELETE FROM registrants")
    ledger.plan(utc("2025-07-02 06:59"))
    assert ledger.states()["reminder-day"] == "cancelled: the registrant's row was deleted"
    ledger.register("a@example.org")
    ledger.plan(utc("2025-07-02 07:01"))  # the reminder fell due in between: it was planned ahead, so it goes
    assert ledger.states() == {
        "confirmation": "sent",
        "reminder-day": "pending",
        "reminder-hour": "pending",
        "follow-up": "pending",
    }


def test_insert_or_replace_sends_nothing_although_it_fires_no_delete_trigger(ledger: Ledger) -> None:
    if ledger.database.dialect.takes_replicas:
        pytest.skip("SQLite's own statement")
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    before = ledger.deliveries()
    ledger.sql(
        "INSERT OR REPLACE INTO registrants (webinar, email, name) VALUES ('w', 'a@example.org', 'New name')"
    )
    ledger.plan(utc("2025-06-13 02:00"))
    assert ledger.deliveries() == before
    assert [row.name for row in ledger.sql("SELECT name FROM registration")] == ["New name"]


@pytest.mark.engines("both")
def test_truncate_and_reload_sends_nothing(ledger: Ledger) -> None:
    if not ledger.database.dialect.takes_replicas:
        pytest.skip("PostgreSQL's own statement")
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    before = ledger.deliveries()
    ledger.sql("TRUNCATE registrants RESTART IDENTITY")
    ledger.plan(utc("2025-06-13 02:00"))
    assert set(ledger.states().values()) == {"cancelled: the registrant's row was deleted"}
    ledger.register("a@example.org")
    ledger.plan(utc("2025-06-13 02:01"))
    assert ledger.deliveries() == before


def test_who_comes_back_after_a_day_registers_again(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.sql("DELETE FROM registrants")
    ledger.plan(utc("2025-06-13 08:00"))
    ledger.register("a@example.org")
    ledger.plan(utc("2025-06-14 08:01"))
    assert [(d["message"], d["state"]) for d in ledger.deliveries() if d["message"] == "confirmation"] == [
        ("confirmation", "sent"),
        ("confirmation", "pending"),
    ]


@pytest.mark.engines("both")
def test_two_people_who_swap_their_addresses_each_follow_their_address(ledger: Ledger) -> None:
    one = ledger.register("a@example.org", name="A")
    two = ledger.register("b@example.org", name="B")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    with ledger.database.transaction() as conn:
        for email, row in (("x@example.org", one), ("a@example.org", two), ("b@example.org", one)):
            execute(conn, "UPDATE registrants SET email = :email WHERE id = :row", email=email, row=row)
    ledger.plan(utc("2025-06-13 08:00"))
    assert [
        row.address
        for row in ledger.sql("SELECT address FROM registration WHERE gone_at IS NULL ORDER BY id")
    ] == [
        "a@example.org",
        "b@example.org",
    ]
    assert "confirmation#1" not in ledger.states()


# A changed address


def test_a_corrected_address_is_a_new_recipient(ledger: Ledger) -> None:
    ledger.register("wrong@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.set("reminder-day", "failed")
    (uid,) = ledger.sql("SELECT uid FROM registration")[0]
    ledger.sql("UPDATE registrants SET email = 'right@example.org'")
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.states("right@example.org") == {
        "confirmation": "sent",
        "confirmation#1": "pending",
        "reminder-day": "pending",
        "reminder-hour": "pending",
        "follow-up": "pending",
    }
    assert ledger.sql("SELECT uid FROM registration")[0][0] != uid


def test_a_corrected_address_before_the_confirmation_went_out_needs_no_second_one(ledger: Ledger) -> None:
    ledger.register("wrong@example.org")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE registrants SET email = 'right@example.org'")
    ledger.plan(utc("2025-06-12 08:01"))
    assert ledger.states() == dict.fromkeys(
        ["confirmation", "reminder-day", "reminder-hour", "follow-up"], "pending"
    )


def test_the_same_address_in_other_letters_is_the_same_recipient(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.sql("UPDATE registrants SET email = 'A@EXAMPLE.org'")
    ledger.plan(utc("2025-06-13 08:00"))
    assert "confirmation#1" not in ledger.states()


# Rows that can't be used


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("webinar", "another", "unknown webinar"),
        ("email", "no address", "email is not an address"),
        ("email", "", "email is empty"),
        ("email", "a@example.org\r\nBcc: b@example.org", "email has a control character"),
        ("email", "a@b@example.org", "email is not an address"),
        ("email", "x" * 250 + "@example.org", "email is longer than 254 octets"),
        ("join_url", "javascript:alert(1)", "join_url is not an https link"),
        ("join_url", "http://meet.example.org", "join_url is not an https link"),
        ("join_url", "https://", "join_url is not an https link"),
        ("join_url", "https://meet.example.org/\r\nX:", "join_url is not an https link"),
        ("name", "n" * 2001, "a value is longer than 2000 characters"),
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside_and_the_rest_goes_on(
    ledger: Ledger, column: str, value: str, reason: str
) -> None:
    bad = ledger.register(**({"email": "bad@example.org"} | {column: value}))
    ledger.register("good@example.org")
    ledger.plan(ANNOUNCED)
    assert {d["address"] for d in ledger.deliveries()} == {"good@example.org"}
    aside = ledger.sql("SELECT registrant_id, reason FROM row_set_aside")
    assert [tuple(row) for row in aside] == [(bad, reason)]


def test_a_fixed_row_is_planned(ledger: Ledger) -> None:
    ledger.register("no address")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE registrants SET email = 'a@example.org'")
    ledger.plan(utc("2025-06-12 09:00"))
    assert ledger.states()["confirmation"] == "pending"
    assert ledger.sql("SELECT * FROM row_set_aside") == []


def test_rows_of_a_webinar_that_becomes_known_later_are_planned_then(ledger: Ledger) -> None:
    ledger.register("a@example.org", webinar="later")
    ledger.plan(ANNOUNCED)
    ledger.govern(webinar(id="later"))
    ledger.plan(utc("2025-06-12 09:00"))
    assert ledger.states()["confirmation"] == "pending"


def test_a_bad_date_of_another_program_ends_nothing(ledger: Ledger) -> None:
    if ledger.database.dialect.takes_replicas:
        pytest.skip("PostgreSQL refuses it itself")
    for number, value in enumerate(["'12/06/2025 10:00'", "''", "x'ff00'", "17"]):
        ledger.sql(
            f"INSERT INTO registrants (webinar, email, registered_at) VALUES ('w', 'a{number}@example.org', {value})"
        )
    ledger.sql(
        "INSERT INTO registrants (webinar, email, name) VALUES ('w', 'latin1@example.org', CAST(x'4afc7267' AS TEXT))"
    )
    ledger.plan(ANNOUNCED)
    assert len({d["address"] for d in ledger.deliveries()}) == 5


def test_a_row_that_becomes_unusable_keeps_its_planned_deliveries(ledger: Ledger) -> None:
    row = ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE registrants SET email = 'a.example.org'")
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.states()["reminder-day"] == "pending"
    assert ledger.sql("SELECT registrant_id FROM row_set_aside")[0][0] == row


# Edits of the webinar


def test_a_reminder_moved_into_the_past_is_skipped_for_those_who_did_not_get_it(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.govern(webinar(SEQUENCE.replace("days_before = 1", "days_before = 21")))
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.states()["reminder-day"] == "skipped: due before it was planned"


def test_a_rule_edited_after_the_reminder_went_out_sends_no_second_one(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("reminder-day", "sent")
    ledger.govern(webinar(SEQUENCE.replace('at = "09:00"', 'at = "11:00"')))
    ledger.plan(utc("2025-07-02 07:30"))
    assert "reminder-day#1" not in ledger.states()


def test_an_added_reminder_applies_to_everybody_and_one_on_registration_only_to_new_people(
    ledger: Ledger,
) -> None:
    ledger.register("old@example.org")
    ledger.plan(ANNOUNCED)
    more = (
        SEQUENCE
        + '[[messages]]\nid = "week"\ndays_before = 7\nat = "09:00"\n'
        + '[[messages]]\nid = "hello"\non_registration = true\n'
    )
    ledger.govern(webinar(more))
    ledger.plan(utc("2025-06-13 08:00"))
    ledger.register("new@example.org")
    ledger.plan(utc("2025-06-13 09:00"))
    assert ledger.states("old@example.org")["week"] == "pending"
    assert "hello" not in ledger.states("old@example.org")
    assert ledger.states("new@example.org")["hello"] == "pending"


def test_also_for_registered_reaches_everybody(ledger: Ledger) -> None:
    ledger.register("old@example.org")
    ledger.plan(ANNOUNCED)
    hello = '[[messages]]\nid = "hello"\non_registration = true\nalso_for_registered = true\n'
    ledger.govern(webinar(SEQUENCE + hello))
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.states("old@example.org")["hello"] == "pending"


@pytest.mark.engines("both")
def test_a_message_taken_out_is_cancelled_and_put_back_is_pending_again(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    before = ledger.deliveries()
    ledger.govern(
        webinar(
            SEQUENCE.replace('id = "reminder-hour"\nbefore_start = "1h"', 'id = "other"\nbefore_start = "2h"')
        )
    )
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.states()["reminder-hour"] == "cancelled: the message was taken out of the webinar"
    ledger.govern(webinar())
    ledger.plan(utc("2025-06-14 08:00"))
    assert ledger.states()["reminder-hour"] == "pending"
    assert ledger.states()["other"] == "cancelled: the message was taken out of the webinar"
    assert [d for d in ledger.deliveries() if d["message"] != "other"] == before


@pytest.mark.engines("both")
def test_a_move_makes_reminders_due_again_and_notifies_people_who_know_the_old_time_once(
    ledger: Ledger,
) -> None:
    ledger.register("told@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.set("reminder-day", "sent")
    ledger.register("new@example.org")
    ledger.govern(webinar(**MOVED))
    ledger.plan(utc("2025-07-02 08:00"))
    ledger.plan(utc("2025-07-02 08:01"))
    assert ledger.states("told@example.org") == {
        "confirmation": "sent",
        "reminder-day": "sent",
        "reminder-day#1": "pending",
        "reminder-hour": "pending",
        "follow-up": "pending",
        "change#1": "pending",
    }
    assert ledger.due("told@example.org")["reminder-day#1"] == utc("2025-07-09 07:00")
    assert "change#1" not in ledger.states("new@example.org")


def test_a_move_revives_deliveries_skipped_or_expired_only_because_of_the_old_time(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(utc("2025-07-03 10:30"))
    ledger.govern(webinar(**MOVED))
    ledger.plan(utc("2025-07-03 10:31"))
    assert ledger.states()["reminder-day"] == "pending"
    assert ledger.states()["reminder-hour"] == "pending"


def test_cancelling_ends_the_sequence_and_notifies_people_who_were_told(ledger: Ledger) -> None:
    ledger.register("told@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.register("new@example.org")
    ledger.govern(webinar(cancelled=True))
    ledger.plan(utc("2025-06-20 08:00"))
    assert ledger.states("told@example.org") == {
        "confirmation": "sent",
        "cancellation#1": "pending",
        **dict.fromkeys(
            ["reminder-day", "reminder-hour", "follow-up"], "cancelled: the webinar is cancelled"
        ),
    }
    assert set(ledger.states("new@example.org").values()) == {"skipped: the webinar is cancelled"}


def test_a_webinar_that_takes_place_after_all_is_told_and_reminded_of(ledger: Ledger) -> None:
    ledger.register("told@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.govern(webinar(cancelled=True))
    ledger.plan(utc("2025-06-20 08:00"))
    ledger.set("cancellation", "sent", edition=1)
    ledger.govern(webinar())
    ledger.plan(utc("2025-06-21 08:00"))
    assert ledger.states() == {
        "confirmation": "sent",
        "cancellation#1": "sent",
        "change#1": "pending",
        **dict.fromkeys(["reminder-day", "reminder-hour", "follow-up"], "pending"),
    }


def test_a_new_join_link_is_told_to_those_who_have_no_link_of_their_own(ledger: Ledger) -> None:
    ledger.register("shared@example.org")
    ledger.register("own@example.org", join_url="https://meet.example.org/own")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.govern(webinar(join_url="https://meet.who.int/new"))
    ledger.plan(utc("2025-06-20 08:00"))
    assert ledger.states("shared@example.org")["change#1"] == "pending"
    assert "change#1" not in ledger.states("own@example.org")


def test_a_personal_link_that_arrives_after_the_confirmation_is_notified(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.sql("UPDATE registrants SET join_url = 'https://meet.example.org/own'")
    ledger.plan(utc("2025-06-12 08:05"))
    assert ledger.states()["change#1"] == "pending"


@pytest.mark.engines("both")
def test_a_new_version_of_the_tz_database_recomputes_due_times(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.sql(
        "UPDATE due_time SET due_at = :old WHERE message = 'reminder-day'", old=utc("2025-07-02 06:00")
    )
    ledger.sql(
        "UPDATE delivery SET due_at = :old WHERE message = 'reminder-day'", old=utc("2025-07-02 06:00")
    )
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.due()["reminder-day"] == utc("2025-07-02 06:00")
    for module in ("ledger.due_times", "governing.revisions"):
        monkeypatch.setattr(f"scheduler.{module}.knowledge_version", lambda: "2099z")
    ledger.revisions.forget_fingerprints()
    ledger.plan(utc("2025-06-13 09:00"))
    assert ledger.due()["reminder-day"] == utc("2025-07-02 07:00")


def as_an_older_version_left_it(ledger: Ledger, zone: str, known_by: str) -> None:
    """The zones of everybody, by what an earlier version of this program knew."""
    ledger.sql("UPDATE planned_webinar SET tz_version = '2024a'")
    ledger.sql("UPDATE webinar SET fingerprint = 'of that version'")
    ledger.sql("UPDATE zone_evidence SET zone = :zone, known_by = :known_by", zone=zone, known_by=known_by)
    ledger.sql(
        "UPDATE registration SET zone = :zone, zone_known_by = :known_by", zone=zone, known_by=known_by
    )
    ledger.revisions.forget_fingerprints()


def zone_of(ledger: Ledger) -> tuple[str, str]:
    [row] = ledger.sql("SELECT zone, zone_known_by FROM registration")
    return row.zone, row.zone_known_by


def test_an_assumed_zone_that_a_later_version_knows_moves_future_deliveries_and_repeats_nothing(
    ledger: Ledger,
) -> None:
    ledger.register("a@example.org", timezone="Pacific Time (US & Canada)", country="US")
    ledger.plan(ANNOUNCED)
    assert zone_of(ledger) == ("America/Los_Angeles", "timezone")
    ledger.set("confirmation", "sent")
    as_an_older_version_left_it(ledger, "America/New_York", "assumed")
    ledger.sql(
        "UPDATE delivery SET due_at = :then WHERE message = 'reminder-day'", then=utc("2025-07-02 13:00")
    )
    ledger.plan(utc("2025-06-13 09:00"))
    assert zone_of(ledger) == ("America/Los_Angeles", "timezone")
    assert ledger.due()["reminder-day"] == utc("2025-07-02 16:00")
    assert ledger.states()["confirmation"] == "sent"
    assert len(ledger.states()) == 4, "nothing is due a second time"


def test_a_zone_that_a_later_version_knows_better_repeats_no_reminder_that_went_out(ledger: Ledger) -> None:
    ledger.register("a@example.org", timezone="Pacific Time (US & Canada)", country="US")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.set("reminder-day", "sent")
    as_an_older_version_left_it(ledger, "America/New_York", "assumed")
    ledger.plan(utc("2025-07-02 14:00"))  # after nine o'clock in New York, before it in Los Angeles
    assert zone_of(ledger) == ("America/Los_Angeles", "timezone")
    assert ledger.states() == {
        "confirmation": "sent", "reminder-day": "sent", "reminder-hour": "pending", "follow-up": "pending",
    }  # fmt: skip


def test_what_another_version_resolved_is_resolved_again_once(ledger: Ledger) -> None:
    ledger.register("a@example.org", timezone="Pacific Time (US & Canada)")
    ledger.plan(ANNOUNCED)
    as_an_older_version_left_it(ledger, "Europe/Zurich", "webinar")
    ledger.plan(utc("2025-06-13 09:00"))
    ledger.sql("UPDATE zone_evidence SET zone = 'Asia/Tokyo'")
    ledger.plan(utc("2025-06-13 10:00"))
    assert zone_of(ledger) == ("America/Los_Angeles", "timezone")


# Suppression, and people confirmed elsewhere


@pytest.mark.engines("both")
def test_nobody_writes_to_a_suppressed_address(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.sql(
        "INSERT INTO suppression (address_folded, since) VALUES ('a@example.org', :now)", now=ANNOUNCED
    )
    ledger.sql("UPDATE registration SET plan = 0")
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.states()["reminder-day"] == "cancelled: the address is suppressed"
    ledger.govern(webinar(**MOVED))
    ledger.plan(utc("2025-06-14 08:00"))
    assert "change#1" not in ledger.states()


@pytest.mark.engines("both")
def test_who_was_confirmed_elsewhere_gets_no_confirmation_but_the_reminders(ledger: Ledger) -> None:
    ledger.sql("INSERT INTO confirmed_elsewhere (webinar, address_folded) VALUES ('w', 'a@example.org')")
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    assert ledger.states()["confirmation"] == "skipped: confirmed by another system"
    assert ledger.states()["reminder-day"] == "pending"


@pytest.mark.engines("both")
def test_a_tick_with_nothing_new_writes_nothing(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    with statements(ledger.database) as executed:
        ledger.plan(ANNOUNCED + timedelta(seconds=1))
    writes = [sql for sql, _ in executed if not re.match(r"(\s|--.*\n)*(SELECT|BEGIN)", sql)]
    assert (writes, len(executed) > 3) == ([], True)


def test_several_webinars_are_planned_side_by_side(ledger: Ledger) -> None:
    ledger.govern(webinar(id="v", start=datetime(2025, 9, 1, 10), end=datetime(2025, 9, 1, 11)))
    ledger.register("a@example.org")
    ledger.register("a@example.org", webinar="v")
    ledger.plan(ANNOUNCED)
    assert sorted(d["due_at"] for d in ledger.deliveries() if d["message"] == "reminder-hour") == [
        utc("2025-07-03 10:00"),
        utc("2025-09-01 07:00"),
    ]
