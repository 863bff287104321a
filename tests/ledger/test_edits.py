"""Edits of planned webinars: the result is the same as if the webinar had been so from the beginning."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.database.engine import Database, execute
from scheduler.webinar.model import Webinar
from tests.registrants.test_changes import TABLES
from tests.support import SEQUENCE, Ledger, plan, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

ANNOUNCED = utc("2025-06-12 08:00")
MOVED = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}
HELLO = '[[messages]]\nid = "hello"\n'
AT_ONCE = HELLO + "on_registration = true\n"
DAY_BEFORE = HELLO + 'days_before = 2\nat = "09:00"\n'


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar())
    return ledger


# In one go, or edit by edit

NOW = utc("2025-07-02 06:30")  # some reminders are due before it, in some zones
ZONES = ("", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "Europe/Paris", "IST")

RULES = {
    "a": ("", 'days_before = 1\nat = "09:00"', 'days_before = 2\nat = "10:00"', 'before_start = "24h"'),
    "b": ("", 'before_start = "1h"', 'before_start = "28h"', 'days_before = 0\nat = "09:00"'),
    "c": ("", 'after_end = "1h"', 'days_after = 1\nat = "10:00"'),
    "d": ("", "on_registration = true\nalso_for_registered = true"),
}


def _webinar(rules: Mapping[str, str], start: datetime, zone: str, cancelled: bool) -> Webinar:
    given = {"confirmation": "on_registration = true"} | {name: rule for name, rule in rules.items() if rule}
    sequence = "".join(f'[[messages]]\nid = "{name}"\n{rule}\n' for name, rule in given.items())
    return webinar(sequence, start=start, end=start + timedelta(hours=2), zone=zone, cancelled=cancelled)


WEBINARS = st.builds(
    _webinar,
    st.fixed_dictionaries({name: st.sampled_from(rules) for name, rules in RULES.items()}),
    st.sampled_from(
        [
            datetime(2025, 7, 3, 13),
            datetime(2025, 7, 3, 7),
            datetime(2025, 7, 10, 13),
            datetime(2025, 7, 1, 13),
        ]
    ),
    st.sampled_from(["Geneva", "Geneva", "Africa/Nairobi"]),
    st.booleans(),
)
REVISIONS = st.lists(
    st.tuples(WEBINARS, st.lists(st.sampled_from(ZONES), min_size=3, max_size=3)), min_size=2, max_size=5
)


def _planned(ledger: Ledger, governing: Webinar) -> dict[tuple[str, str], Any]:
    in_sequence = {one.id for one in governing.messages}
    return {
        (row["address"], row["message"]): (
            row["state"],
            row["reason"],
            row["due_at"],
            row["expires_at"],
            row["urgency"],
        )
        for row in ledger.deliveries()
        if row["message"] in in_sequence
    }


def _set_zones(ledger: Ledger, zones: list[str], there: int) -> None:
    """Somebody more registers at each revision; all of them correct their zones."""
    ledger.register(f"{there}@example.org")
    for number in range(there + 1):
        ledger.sql(
            "UPDATE registrants SET timezone = :zone WHERE email = :email",
            zone=zones[number % len(zones)],
            email=f"{number}@example.org",
        )


def _afresh(ledger: Ledger) -> None:
    for table in (*TABLES, "webinar"):
        ledger.sql(f"DELETE FROM {table}")


@pytest.mark.parametrize("examples", [6, pytest.param(30, marks=pytest.mark.full)])
def test_planning_edit_by_edit_ends_where_planning_in_one_go_does(database: Database, examples: int) -> None:
    ledger = Ledger(database)

    @settings(max_examples=examples)
    @given(REVISIONS)
    def holds(revisions: list[tuple[Webinar, list[str]]]) -> None:
        _afresh(ledger)
        for there, (governing, zones) in enumerate(revisions):
            _set_zones(ledger, zones, there)
            ledger.govern(governing)
            ledger.plan(NOW)
        by_edits = _planned(ledger, governing)
        _afresh(ledger)
        for there in range(len(revisions)):
            _set_zones(ledger, revisions[-1][1], there)
        ledger.govern(governing)
        ledger.plan(NOW)
        in_one_go = _planned(ledger, governing)
        assert by_edits.keys() == in_one_go.keys()
        if governing.cancelled:  # what was planned before is cancelled, what was not is skipped
            assert {values[0] for values in by_edits.values()} <= {"cancelled", "skipped"}
            assert {values[0] for values in in_one_go.values()} == {"skipped"}
        else:
            assert by_edits == in_one_go

    holds()


# A rule that turns from a time to registration, and back


def test_a_reminder_that_becomes_due_on_registration_is_for_those_who_register_from_then_on(
    ledger: Ledger,
) -> None:
    ledger.govern(webinar(SEQUENCE + DAY_BEFORE))
    ledger.register("old@example.org")
    ledger.plan(ANNOUNCED)
    ledger.govern(webinar(SEQUENCE + AT_ONCE))
    ledger.register("new@example.org")
    ledger.plan(utc("2025-06-13 08:00"))
    assert (
        ledger.states("old@example.org")["hello"]
        == "cancelled: registered before this message was due on registration"
    )
    assert ledger.states("new@example.org")["hello"] == "pending"
    assert ledger.due("new@example.org")["hello"] == utc("2025-06-13 08:00")
    ledger.govern(webinar(SEQUENCE + DAY_BEFORE))
    ledger.plan(utc("2025-06-14 08:00"))
    for address in ("old@example.org", "new@example.org"):
        assert ledger.states(address)["hello"] == "pending"
        assert ledger.due(address)["hello"] == utc("2025-07-01 07:00")


def test_it_is_for_everybody_at_once_if_it_says_so(ledger: Ledger) -> None:
    ledger.govern(webinar(SEQUENCE + DAY_BEFORE))
    ledger.register("old@example.org")
    ledger.plan(ANNOUNCED)
    ledger.govern(webinar(SEQUENCE + AT_ONCE + "also_for_registered = true\n"))
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.states()["hello"] == "pending"
    assert ledger.due()["hello"] == utc("2025-06-13 08:00")


def test_saying_later_that_it_is_for_everybody_reaches_everybody(ledger: Ledger) -> None:
    ledger.register("old@example.org")
    ledger.plan(ANNOUNCED)
    ledger.govern(webinar(SEQUENCE + AT_ONCE))
    ledger.plan(utc("2025-06-13 08:00"))
    assert "hello" not in ledger.states()
    ledger.govern(webinar(SEQUENCE + AT_ONCE + "also_for_registered = true\n"))
    ledger.plan(utc("2025-06-14 08:00"))
    assert ledger.states()["hello"] == "pending"


def test_a_message_that_was_for_new_people_only_is_for_all_once_it_has_a_time(ledger: Ledger) -> None:
    ledger.register("old@example.org")
    ledger.plan(ANNOUNCED)
    ledger.govern(webinar(SEQUENCE + AT_ONCE))
    ledger.plan(utc("2025-06-13 08:00"))
    ledger.govern(webinar(SEQUENCE + DAY_BEFORE))
    ledger.plan(utc("2025-06-14 08:00"))
    assert ledger.due()["hello"] == utc("2025-07-01 07:00")


def test_a_confirmation_that_had_a_time_by_mistake_for_a_while_reaches_all_at_once_when_that_is_fixed(
    ledger: Ledger,
) -> None:
    ledger.register("confirmed@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.govern(webinar(SEQUENCE.replace("on_registration = true", 'days_before = 3\nat = "09:00"')))
    ledger.register("between@example.org")
    ledger.plan(utc("2025-06-13 08:00"))
    assert ledger.states("confirmed@example.org")["confirmation"] == "sent"
    assert ledger.due("between@example.org")["confirmation"] == utc("2025-06-30 07:00")
    ledger.govern(webinar())
    ledger.plan(utc("2025-06-13 09:00"))
    assert ledger.states("confirmed@example.org")["confirmation"] == "sent"
    assert ledger.due("between@example.org")["confirmation"] == utc("2025-06-13 09:00")


# Notices


def _told(ledger: Ledger) -> None:
    ledger.register("told@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")


def test_an_unsent_cancellation_is_cancelled_when_the_webinar_takes_place_after_all(
    ledger: Ledger,
) -> None:
    _told(ledger)
    ledger.govern(webinar(cancelled=True))
    ledger.plan(utc("2025-06-20 08:00"))
    assert ledger.states()["cancellation#1"] == "pending"
    ledger.govern(webinar())
    ledger.plan(utc("2025-06-20 08:01"))
    assert ledger.states()["cancellation#1"] == "cancelled: the webinar takes place after all"


def test_an_unsent_notice_of_a_move_gives_way_to_the_cancellation(ledger: Ledger) -> None:
    _told(ledger)
    ledger.govern(webinar(**MOVED))
    ledger.plan(utc("2025-06-20 08:00"))
    ledger.govern(webinar(**MOVED, cancelled=True))
    ledger.plan(utc("2025-06-20 08:01"))
    assert ledger.states()["change#1"] == "cancelled: the webinar is cancelled"
    assert ledger.states()["cancellation#1"] == "pending"


def test_a_notice_that_waits_is_useful_until_the_end_as_it_is_after_another_move(ledger: Ledger) -> None:
    _told(ledger)
    ledger.govern(webinar(start=datetime(2025, 7, 4, 13), end=datetime(2025, 7, 4, 15)))
    ledger.plan(utc("2025-06-20 08:00"))
    ledger.govern(webinar(**MOVED))
    ledger.plan(utc("2025-06-20 08:01"))
    (notice,) = [row for row in ledger.deliveries() if row["message"] == "change"]
    assert notice["expires_at"] == utc("2025-07-10 13:00")


def test_a_webinar_that_was_moved_while_it_was_cancelled_reminds_again(ledger: Ledger) -> None:
    _told(ledger)
    ledger.set("reminder-day", "sent")
    ledger.govern(webinar(**MOVED, cancelled=True))
    ledger.plan(utc("2025-07-02 08:00"))
    ledger.govern(webinar(**MOVED))
    ledger.plan(utc("2025-07-02 09:00"))
    assert ledger.due()["reminder-day#1"] == utc("2025-07-09 07:00")


def test_cancelling_and_reinstating_repeats_no_reminder(ledger: Ledger) -> None:
    _told(ledger)
    ledger.set("reminder-day", "sent")
    for cancelled in (True, False):
        ledger.govern(webinar(cancelled=cancelled))
        ledger.plan(utc("2025-07-02 08:00"))
    assert "reminder-day#1" not in ledger.states()


@pytest.mark.engines("both")
def test_who_may_have_been_told_by_a_mail_in_doubt_is_told_of_the_move(ledger: Ledger) -> None:
    ledger.register("perhaps@example.org")
    ledger.plan(ANNOUNCED)
    for message in ("confirmation", "reminder-day"):
        ledger.set(message, "in_doubt")
    ledger.sql("UPDATE delivery SET state = 'held', reason = 'doubt' WHERE state = 'in_doubt'")
    ledger.govern(webinar(**MOVED))
    ledger.plan(utc("2025-07-02 08:00"))
    assert ledger.states()["change#1"] == "pending"
    assert ledger.due()["reminder-day#1"] == utc("2025-07-09 07:00")


def test_a_corrected_title_notifies_nobody(ledger: Ledger) -> None:
    _told(ledger)
    before = ledger.deliveries()
    ledger.govern(webinar(title="Buying health products, corrected", about="Another text."))
    ledger.plan(utc("2025-06-20 08:00"))
    assert ledger.deliveries() == before


# Mails on their way to the relay


def _leased(ledger: Ledger) -> list[Any]:
    return ledger.sql("SELECT id FROM delivery WHERE lease_token IS NOT NULL")


@pytest.mark.parametrize(
    "changed",
    [
        {"join_url": "https://meet.who.int/new"},
        {"status": "draft"},
        {"sequence": SEQUENCE.replace("1h", "2h")},
        MOVED,
    ],
)
def test_an_unsent_mail_is_rendered_again_after_an_edit_of_a_time_a_link_a_rule_or_the_status(
    ledger: Ledger, changed: dict[str, Any]
) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE delivery SET lease_token = 'theirs'")
    ledger.govern(webinar(**changed))
    ledger.plan(utc("2025-06-13 08:00"))
    assert _leased(ledger) == []


def test_a_mail_on_the_wire_keeps_its_lease_through_an_edit(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE delivery SET lease_token = 'theirs'")
    ledger.set("confirmation", "sending")
    ledger.govern(webinar(**MOVED))
    ledger.plan(utc("2025-06-13 08:00"))
    assert len(_leased(ledger)) == 1
    assert ledger.states()["confirmation"] == "sending"


@pytest.mark.engines("both")
def test_an_edit_of_words_alone_makes_no_new_plan(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE delivery SET lease_token = 'theirs'")
    ledger.govern(webinar(title="Another title", sender="Webinar <other@who.int>"))
    ledger.plan(utc("2025-06-13 08:00"))
    assert len(_leased(ledger)) == 4


def test_another_webinars_leases_are_left_alone(ledger: Ledger) -> None:
    ledger.govern(webinar(id="v"))
    ledger.register("a@example.org", "v")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE delivery SET lease_token = 'theirs'")
    ledger.govern(webinar(title="Another title"))
    ledger.plan(utc("2025-06-13 08:00"))
    assert len(_leased(ledger)) == 4


def test_nothing_is_planned_twice_in_one_transaction(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    with ledger.database.transaction() as conn:
        governing = ledger.revisions.governing(conn)
        for _ in range(2):
            plan(conn, ANNOUNCED, governing, timedelta(hours=24))
        assert execute(conn, "SELECT count(*) FROM delivery").scalar() == 4
