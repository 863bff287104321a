"""Notices follow from what each person was told, whatever happened in between."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from scheduler.database.engine import Database
from scheduler.governing.revisions import take_effect_now
from scheduler.registrants.files.importing import import_rows
from scheduler.registrants.files.reading import FileRow
from tests.histories import RETURN, History, kinds, notified
from tests.support import SEQUENCE, settle_and_plan, utc

pytestmark = pytest.mark.engines("sqlite")

A, B = "a@example.org", "b@example.org"
MOVED: dict[str, Any] = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}
NEW_LINK = {"join_url": "https://meet.who.int/new"}
AT_ONCE = {"notice_after": "0s"}
EDITS = pytest.mark.parametrize(
    ("edit", "notice"), [(MOVED, "change"), (NEW_LINK, "change"), ({"cancelled": True}, "cancellation")]
)


@pytest.fixture
def history(database: Database) -> History:
    """Two people who were confirmed an hour ago."""
    history = History(database)
    history.start(**AT_ONCE)
    history.register(A, B)
    assert kinds(history.run()) == {"confirmation": 2}
    history.wait(hours=1)
    return history


def uids(history: History) -> set[tuple[str, str]]:
    return {(row.address, row.uid) for row in history.sql("SELECT address, uid FROM registration")}


# Reloads


@pytest.mark.engines("both")
@EDITS
def test_an_edit_in_the_middle_of_a_reload_notifies_everybody_once(
    history: History, edit: dict[str, Any], notice: str
) -> None:
    history.sql("DELETE FROM registrants")
    history.tick()
    history.edit(**AT_ONCE, **edit)
    history.tick()
    history.register(A, B)
    got = history.run()
    assert kinds(got) == {notice: 2}
    assert notified(history.live_on(hours=20)) == {}


def test_an_edit_in_the_middle_of_a_reload_makes_the_reminders_due_again(history: History) -> None:
    history.now = utc("2025-07-02 07:00")
    assert kinds(history.run()) == {"reminder-day": 2}
    history.sql("DELETE FROM registrants")
    history.tick()
    history.edit(**AT_ONCE, **MOVED)
    history.tick()
    history.register(A, B)
    assert kinds(history.live_on(days=10)) == {
        "change": 2,
        "reminder-day": 2,
        "reminder-hour": 2,
        "follow-up": 2,
    }


@EDITS
def test_one_persons_row_that_leaves_and_returns_with_an_edit_between(
    history: History, edit: dict[str, Any], notice: str
) -> None:
    history.sql("DELETE FROM registrants WHERE email = :a", a=A)
    history.tick()
    history.edit(**AT_ONCE, **edit)
    assert notified(history.run()) == {B: 1}
    history.register(A)
    assert notified(history.run()) == {A: 1}


def test_one_persons_row_that_leaves_and_returns_without_an_edit_sends_nothing(history: History) -> None:
    history.sql("DELETE FROM registrants WHERE email = :a", a=A)
    history.run()
    history.wait(hours=23)
    history.register(A)
    assert history.run() == []


@pytest.mark.parametrize("edit", [{}, MOVED])
def test_who_returns_late_is_confirmed_again_with_the_same_uid(
    history: History, edit: dict[str, Any]
) -> None:
    before = uids(history)
    history.sql("DELETE FROM registrants WHERE email = :a", a=A)
    history.run()
    history.wait(hours=25)
    history.edit(**AT_ONCE, **edit)
    history.run()
    history.register(A)
    got = history.run()
    assert [(one.address, one.message) for one in got] == [(A, "confirmation")]
    assert uids(history) == before
    assert notified(history.live_on(hours=20)) == {}


# Edits that are undone


@pytest.mark.parametrize("edit", [MOVED, {"cancelled": True}, NEW_LINK])
def test_an_edit_that_is_undone_before_a_notice_left_notifies_nobody(
    history: History, edit: dict[str, Any]
) -> None:
    history.edit(**AT_ONCE, **edit)
    history.tick()
    assert len([one for one in history.states().values() if one == "pending"]) > 0
    history.edit(**AT_ONCE)
    assert history.run() == []
    assert notified(history.live_on(hours=20)) == {}


def test_an_edit_that_is_undone_notifies_only_those_whose_notice_had_left(history: History) -> None:
    history.edit(**AT_ONCE, **MOVED)
    history.tick()
    (first,) = history.send(most=1)
    history.edit(**AT_ONCE)
    got = history.run()
    assert notified(got) == {first.address: 1}
    assert notified(history.live_on(hours=20)) == {}


def test_a_notice_that_was_refused_is_not_repeated_and_told_nothing(history: History) -> None:
    history.edit(**AT_ONCE, **MOVED)
    history.tick()
    history.send("refused")
    assert notified(history.live_on(hours=20)) == {}
    history.edit(**AT_ONCE)
    assert notified(history.live_on(hours=20)) == {}, "what they know is true again"
    history.edit(**AT_ONCE, **NEW_LINK)
    assert notified(history.run()) == {A: 1, B: 1}


def test_a_notice_in_doubt_may_have_told_its_reader(history: History) -> None:
    history.edit(**AT_ONCE, on_doubt="hold", **MOVED)
    history.tick()
    history.send("lost")
    history.edit(**AT_ONCE, on_doubt="hold")
    assert notified(history.run()) == {A: 1, B: 1}
    assert notified(history.live_on(hours=20)) == {}


def test_a_deferred_confirmation_told_nothing_and_goes_out_with_current_facts(history: History) -> None:
    history.register("c@example.org")
    history.tick()
    history.send("deferred")
    history.edit(**AT_ONCE, **MOVED)
    got = [one for one in history.live_on(hours=1) if one.address == "c@example.org"]
    assert [(one.message, one.says.start) for one in got] == [("confirmation", utc("2025-07-10 11:00"))]


# At the same moment


def test_a_confirmation_that_is_on_the_wire_during_an_edit_is_followed_by_a_notice(history: History) -> None:
    history.register("c@example.org")
    history.tick()
    begun = history.begin(history.claim())
    history.edit(**AT_ONCE, **NEW_LINK)
    history.run()
    history.conclude(begun)
    got = [one for one in history.run() if one.address == "c@example.org"]
    assert [(one.message, one.says.join_url) for one in got] == [("change", NEW_LINK["join_url"])]


@pytest.mark.engines("both")
def test_a_mail_that_was_claimed_before_an_edit_is_not_begun_after_it(history: History) -> None:
    history.register("c@example.org")
    history.tick()
    claimed = history.claim()
    history.edit(**AT_ONCE, **NEW_LINK)
    history.tick()
    assert history.begin(claimed) == []
    got = [one for one in history.run() if one.address == "c@example.org"]
    assert [(one.message, one.says.join_url) for one in got] == [("confirmation", NEW_LINK["join_url"])]


@pytest.mark.engines("both")
def test_nothing_is_claimed_for_who_waits_to_be_planned(history: History) -> None:
    history.now = utc("2025-07-02 07:00")
    history.sql("UPDATE registration SET plan = 0 WHERE address = :a", a=A)
    assert {one.address for one in history.claim()} == {B}


# Links of people's own


def test_a_changed_link_in_a_row_waits_and_so_do_reminders(history: History) -> None:
    history.edit(notice_after="10m")
    history.run()
    history.now = utc("2025-07-02 06:55")
    history.sql("UPDATE registrants SET join_url = 'https://meet.who.int/a' WHERE email = :a", a=A)
    assert history.run() == []
    (waits,) = history.waiting()
    assert (waits.webinar, waits.people, waits.before, waits.after) == (
        "w",
        1,
        {"join_url": None},
        {"join_url": None},
    )
    assert waits.leaves_at == utc("2025-07-02 07:05")
    history.wait(minutes=6)
    assert [one.address for one in history.run()] == [B], "her reminder waits"
    got = history.live_on(minutes=10)
    assert [(one.message, one.says.join_url) for one in got if one.address == A] == [
        ("change", "https://meet.who.int/a"), ("reminder-day", "https://meet.who.int/a")
    ]  # fmt: skip
    assert history.waiting() == []


def test_a_link_that_is_corrected_in_time_never_changed(history: History) -> None:
    history.edit(notice_after="10m")
    history.run()
    history.sql("UPDATE registrants SET join_url = 'https://meet.who.int/a'")
    history.run()
    history.wait(minutes=5)
    history.sql("UPDATE registrants SET join_url = NULL")
    history.run()
    assert history.waiting() == []
    assert history.live_on(hours=20) == []


def test_links_that_change_again_and_again_wait_at_most_three_times_as_long(history: History) -> None:
    history.edit(notice_after="10m")
    history.run()
    for number in range(8):
        history.sql("UPDATE registrants SET join_url = :url", url=f"https://meet.who.int/{number}")
        history.run()
        if got := history.live_on(minutes=5):
            break
    assert (number, notified(got)) == (5, {A: 1, B: 1})


# Edits that wait


@pytest.fixture
def patient(database: Database) -> History:
    history = History(database)
    history.start()
    history.register(A, B)
    history.run()
    history.wait(hours=1)
    return history


@EDITS
def test_an_edit_that_notifies_people_takes_effect_ten_minutes_later(
    patient: History, edit: dict[str, Any], notice: str
) -> None:
    patient.edit(**edit)
    assert patient.run() == []
    (waits,) = patient.waiting()
    assert (waits.kind, waits.people, waits.leaves_at) == (notice, 2, patient.now + timedelta(minutes=10))
    assert patient.live_on(minutes=9) == []
    assert kinds(patient.live_on(minutes=1)) == {notice: 2}
    assert patient.waiting() == []


def test_it_says_what_differs_from_what_to_what(patient: History) -> None:
    patient.edit(**MOVED)
    patient.tick()
    (waits,) = patient.waiting()
    assert waits.before == {"start": utc("2025-07-03 11:00"), "end": utc("2025-07-03 13:00")}
    assert waits.after == {"start": utc("2025-07-10 11:00"), "end": utc("2025-07-10 13:00")}


def test_an_edit_that_is_undone_while_it_waits_never_happened(patient: History) -> None:
    plans = patient.sql("SELECT plan FROM webinar")
    patient.edit(**MOVED)
    patient.live_on(minutes=9)
    patient.edit()
    patient.run()
    assert patient.waiting() == []
    assert patient.live_on(hours=20) == []
    assert patient.sql("SELECT plan FROM webinar") == plans


def test_several_edits_make_one_notice(patient: History) -> None:
    patient.edit(**MOVED)
    patient.tick()
    patient.live_on(minutes=6)
    patient.edit(**MOVED, **NEW_LINK)
    patient.tick()
    assert patient.live_on(minutes=9) == []
    got = patient.live_on(minutes=2)
    assert kinds(got) == {"change": 2}
    assert {one.says.join_url for one in got} == {NEW_LINK["join_url"]}
    assert notified(patient.live_on(hours=20)) == {}


def test_edits_that_go_on_and_on_wait_at_most_three_times_as_long(patient: History) -> None:
    for minute in range(40):
        patient.edit(start=datetime(2025, 7, 10, 13, minute), end=datetime(2025, 7, 10, 15))
        patient.tick()
        patient.live_on(minutes=1)
        if patient.mailbox[-1].message == "change":
            break
    assert minute == 29


def test_confirmations_leave_by_the_old_facts_while_an_edit_waits_and_are_followed_by_the_notice(
    patient: History,
) -> None:
    patient.edit(**MOVED)
    patient.tick()
    patient.register("c@example.org")
    (got,) = patient.run()
    assert (got.message, got.says.start) == ("confirmation", utc("2025-07-03 11:00"))
    assert notified(patient.live_on(minutes=10)) == {A: 1, B: 1, "c@example.org": 1}


def test_reminders_wait_with_the_edit(patient: History) -> None:
    patient.now = utc("2025-07-02 06:55")
    patient.edit(**NEW_LINK)
    patient.run()
    assert patient.live_on(minutes=9) == []
    got = patient.live_on(minutes=2)
    assert kinds(got) == {"change": 2, "reminder-day": 2}
    assert {one.says.join_url for one in got} == {NEW_LINK["join_url"]}


def test_the_rest_of_a_wave_of_notices_waits_when_it_is_corrected(patient: History) -> None:
    patient.edit(**MOVED)
    patient.tick()
    patient.wait(minutes=10)
    patient.tick()
    (first,) = patient.send(most=1)
    patient.edit()
    assert patient.run() == [], "the other notice, and the correction, wait"
    assert notified(patient.live_on(hours=1)) == {first.address: 1}


def test_a_draft_stops_everything_at_once(patient: History) -> None:
    patient.edit(**MOVED)
    patient.tick()
    patient.edit(status="draft")
    patient.tick()
    assert patient.waiting() == []
    assert patient.live_on(days=30) == []


def test_an_edit_that_makes_a_webinar_live_waits_too(patient: History) -> None:
    patient.edit(status="draft")
    patient.tick()
    patient.edit(status="draft", **MOVED)
    patient.tick()
    patient.edit(**MOVED)
    assert patient.run() == []
    assert notified(patient.live_on(minutes=10)) == {A: 1, B: 1}


def test_people_in_the_middle_of_a_reload_count(patient: History) -> None:
    patient.sql("DELETE FROM registrants")
    patient.tick()
    patient.edit(**MOVED)
    patient.tick()
    assert [one.people for one in patient.waiting()] == [2]


def test_an_edit_of_words_rules_or_messages_takes_effect_at_once(patient: History) -> None:
    patient.edit(title="Another title")
    patient.tick()
    assert patient.waiting() == []
    patient.edit(title="Another title", sequence='[[messages]]\nid = "hour"\nbefore_start = "1h"\n')
    patient.tick()
    assert patient.states()["hour"] == "pending"


def test_messages_that_are_taken_out_all_stop_everything(patient: History) -> None:
    patient.edit(sequence="messages = []\n")
    patient.tick()
    assert set(patient.states().values()) == {"sent", "cancelled"}
    assert patient.live_on(days=30) == []


def test_a_waiting_edit_can_take_effect_at_once(patient: History) -> None:
    patient.edit(**MOVED)
    patient.tick()
    with patient.database.transaction() as conn:
        take_effect_now(conn, patient.now, patient.replicas[0].revisions, ["w"])
    assert kinds(patient.run()) == {"change": 2}


# Who was told by another system


def test_who_was_confirmed_elsewhere_is_notified_of_an_edit(patient: History) -> None:
    rows = [FileRow(2, {"email": "moved@example.org"})]
    with patient.database.transaction() as conn:
        import_rows(conn, rows, "people.csv", webinars=["w"], default_webinar="w", already_confirmed=True)
    assert patient.run() == []
    patient.edit(**MOVED)
    patient.run()
    assert notified(patient.live_on(minutes=10)) == {A: 1, B: 1, "moved@example.org": 1}


def test_who_was_never_told_anything_is_not_notified(patient: History) -> None:
    patient.edit(sequence='[[messages]]\nid = "reminder-hour"\nbefore_start = "1h"\n')
    patient.tick()
    patient.register("c@example.org")
    patient.tick()
    patient.edit(sequence='[[messages]]\nid = "reminder-hour"\nbefore_start = "1h"\n', **MOVED)
    patient.run()
    assert notified(patient.live_on(hours=1)) == {A: 1, B: 1}


# Findings of an attack


def test_an_edit_of_words_never_waits_even_if_somebody_was_told_outdated_facts(patient: History) -> None:
    patient.sql("DELETE FROM registrants WHERE email = :b", b=B)
    patient.tick()
    patient.edit(**MOVED)
    patient.tick()
    assert notified(patient.live_on(minutes=11)) == {A: 1}
    patient.edit(**MOVED, title="Another title")
    patient.tick()
    assert patient.waiting() == []


def test_who_was_told_something_later_gets_the_notice_of_an_earlier_time_again(history: History) -> None:
    history.edit(**AT_ONCE, **MOVED)
    history.run()
    history.edit(**AT_ONCE, start=datetime(2025, 7, 11, 13), end=datetime(2025, 7, 11, 15))
    history.sql("UPDATE registrants SET email = 'new@example.org' WHERE email = :a", a=A)
    assert kinds(history.run()) == {"confirmation": 1, "change": 1}
    history.edit(**AT_ONCE, **MOVED)
    assert notified(history.run()) == {"new@example.org": 1, B: 1}


def test_a_message_that_is_held_keeps_no_notice_back(history: History) -> None:
    news = SEQUENCE + '[[messages]]\nid = "news"\non_registration = true\nalso_for_registered = true\n'
    history.edit(**AT_ONCE, sequence=news)
    history.tick()
    history.sql("UPDATE delivery SET state = 'held', reason = 'template' WHERE message = 'news'")
    history.edit(**AT_ONCE, sequence=news, **MOVED)
    assert notified(history.run()) == {A: 1, B: 1}


def test_a_notice_counts_as_told_also_without_an_invitation(history: History) -> None:
    history.sql("UPDATE told SET invited = TRUE")
    history.edit(**AT_ONCE, **MOVED)
    assert notified(history.run()) == {A: 1, B: 1}
    history.edit(**AT_ONCE)
    assert notified(history.run()) == {A: 1, B: 1}


def test_a_reminder_of_an_old_start_that_returns_goes_again_though_its_rule_changed(history: History) -> None:
    before = '[[messages]]\nid = "hour"\ndays_before = {}\nat = "09:00"\n'
    history.now = utc("2025-06-20 08:00")
    history.edit(**AT_ONCE, **MOVED, sequence=before.format(3))
    history.run()
    history.now = utc("2025-07-07 07:00")
    assert "hour" in kinds(history.run())
    history.edit(
        **AT_ONCE, start=datetime(2025, 7, 9, 13), end=datetime(2025, 7, 9, 15), sequence=before.format(1)
    )
    history.run()
    history.now = utc("2025-07-08 07:00")
    assert "hour" in kinds(history.run())
    history.edit(**AT_ONCE, **MOVED, sequence=before.format(1))
    history.run()
    history.sql("UPDATE registrants SET name = 'New name'")
    history.run()
    history.now = utc("2025-07-09 07:00")
    assert kinds(history.run()) == {"hour": 2}


def test_a_reminder_that_was_refused_goes_for_the_next_start(history: History) -> None:
    history.now = utc("2025-07-02 07:00")
    history.run()
    history.edit(**AT_ONCE, **MOVED)
    history.run()
    history.now = utc("2025-07-09 07:00")
    history.tick()
    history.send("refused")
    history.edit(**AT_ONCE, start=datetime(2025, 7, 20, 13), end=datetime(2025, 7, 20, 15))
    history.run()
    history.now = utc("2025-07-19 07:00")
    assert kinds(history.run()) == {"reminder-day": 2}


def test_a_draft_that_moved_says_from_when_to_when_as_it_goes_live(patient: History) -> None:
    patient.edit(status="draft")
    patient.tick()
    patient.edit(status="draft", **MOVED)
    patient.tick()
    patient.edit(**MOVED)
    patient.tick()
    (waits,) = patient.waiting()
    assert (waits.before["start"], waits.after["start"]) == (utc("2025-07-03 11:00"), utc("2025-07-10 11:00"))


@pytest.mark.engines("both")
def test_a_mail_is_not_begun_while_its_person_is_being_planned(history: History) -> None:
    if not history.database.dialect.takes_replicas:
        pytest.skip("SQLite has one writer at a time")
    history.register("c@example.org")
    history.tick()
    history.sql("UPDATE registrants SET join_url = 'https://meet.who.int/c' WHERE email = 'c@example.org'")
    with history.database.engine.begin() as conn:
        governing = history.replicas[0].revisions.governing(conn)
        settle_and_plan(conn, history.now, governing, RETURN)
        assert history.send() == [], "planning would not see what it tells"
        conn.commit()
    (got,) = history.run()
    assert (got.message, got.says.join_url) == ("confirmation", "https://meet.who.int/c")


def test_planning_a_person_goes_through_no_other_persons_deliveries(history: History) -> None:
    if history.database.dialect.takes_replicas:
        pytest.skip("its planner looks at how much there is")
    statements: list[Any] = []
    event.listen(
        history.database.engine, "before_cursor_execute", lambda *given: statements.append(given[2:4])
    )
    history.sql("UPDATE registrants SET name = 'New name' WHERE email = :a", a=A)
    history.tick()
    connection = history.database.engine.raw_connection()
    plans = [
        row[3]
        for sql, values in list(statements)
        if "delivery" in sql
        for row in connection.cursor().execute(f"EXPLAIN QUERY PLAN {sql}", values)
    ]
    connection.close()
    assert [step for step in plans if step.startswith("SCAN delivery")] == []
    assert any("delivery" in step for step in plans)
