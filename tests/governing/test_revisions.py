"""Which revision of a webinar governs where services read different files, and which edits are refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.database.postgresql import PostgreSQL
from scheduler.database.sqlite import SQLite
from scheduler.reports.reasons import replica_notes
from tests.histories import History, Replica, kinds, notified
from tests.support import toml, utc

pytestmark = pytest.mark.engines("sqlite")

A = "a@example.org"
MOVED: dict[str, Any] = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}
AT_ONCE = {"notice_after": "0s"}


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The numbers of the services that run, on both engines."""
    there: set[int] = set()
    for engine in (SQLite, PostgreSQL):
        monkeypatch.setattr(engine, "holders", lambda self, conn: sorted(there))
    return there


@pytest.fixture
def history(database: Database, running: set[int]) -> History:
    history = History(database)
    history.start(**AT_ONCE)
    running.add(1)
    history.register(A)
    history.run()
    return history


def start_of(history: History) -> datetime:
    (row,) = history.sql("SELECT revision_id FROM webinar")
    with history.database.transaction() as conn:
        governs = history.replicas[0].revisions.get(conn, row.revision_id)
    assert governs is not None
    return governs.start


def beside(history: History, running: set[int], **keys: Any) -> Replica:
    replica = history.start(**AT_ONCE, **keys)
    running.add(replica.holder)
    return replica


OLD, NEW = utc("2025-07-03 11:00"), utc("2025-07-10 11:00")


@pytest.mark.engines("both")
def test_a_replica_with_an_older_file_plans_and_sends_by_what_governs(
    history: History, running: set[int]
) -> None:
    lags = beside(history, running)
    history.tick(lags)
    history.edit(**AT_ONCE, **MOVED)
    assert kinds(history.run()) == {"change": 1}
    history.register("b@example.org")
    (got,) = history.run(lags)
    assert (got.message, got.says.start) == ("confirmation", NEW)
    assert notified(history.live_on(hours=20)) == {}


def test_a_replica_that_restarts_with_an_older_file_changes_nothing(
    history: History, running: set[int]
) -> None:
    history.edit(**AT_ONCE, **MOVED)
    history.run()
    old = beside(history, running)
    for _ in range(10):
        history.wait(minutes=1)
        assert history.run(old) == []
    assert start_of(history) == NEW


def test_older_files_govern_a_minute_after_nobody_has_the_newer_ones(
    history: History, running: set[int]
) -> None:
    history.edit(**AT_ONCE, **MOVED)
    history.run()
    running.discard(1)
    rolled_back = history.start(**AT_ONCE)
    running.add(rolled_back.holder)
    history.tick(rolled_back)
    history.wait(seconds=59)
    history.tick(rolled_back)
    assert start_of(history) == NEW
    history.wait(minutes=2)
    assert kinds(history.run(rolled_back)) == {"change": 1}
    assert start_of(history) == OLD


def test_a_change_back_to_an_older_file_that_is_seen_while_running_governs_at_once(history: History) -> None:
    history.edit(**AT_ONCE, **MOVED)
    history.run()
    history.edit(**AT_ONCE)
    assert kinds(history.run()) == {"change": 1}
    assert start_of(history) == OLD


def test_new_content_of_one_replica_governs_all(history: History, running: set[int]) -> None:
    other = beside(history, running)
    history.tick(other)
    history.edit(other, **AT_ONCE, **MOVED)
    history.tick(other)
    assert start_of(history) == NEW
    history.tick()
    assert start_of(history) == NEW


def test_a_waiting_edit_outlives_the_restart_of_a_replica_with_the_older_file(
    history: History, running: set[int]
) -> None:
    history.edit(**MOVED)
    history.tick()
    assert len(history.waiting()) == 1
    old = beside(history, running)
    history.wait(minutes=5)
    history.tick(old)
    assert len(history.waiting()) == 1


def test_a_waiting_edit_is_dropped_once_every_service_has_held_another_for_a_minute(
    history: History, running: set[int]
) -> None:
    history.edit(**MOVED)
    history.tick()
    running.discard(1)
    other = history.start(**AT_ONCE)
    running.add(other.holder)
    history.tick(other)
    history.wait(minutes=3)
    history.tick(other)
    assert history.waiting() == []
    assert start_of(history) == OLD


def notes(history: History) -> list[str]:
    with history.database.transaction() as conn:
        return [one.words for one in replica_notes(conn, history.now)]


def test_services_with_different_files_are_a_note_that_says_what_governs(
    history: History, running: set[int]
) -> None:
    lags = beside(history, running)
    history.tick(lags)
    history.edit(**AT_ONCE, **MOVED)
    history.wait(seconds=30)
    history.tick()
    assert notes(history) == []
    history.wait(seconds=61)
    (row,) = history.sql("SELECT revision_id FROM webinar")
    assert notes(history) == [
        f"webinar w: 2 services have different files of it; revision {row.revision_id}, of 2025-06-12 08:00 UTC,"
        " governs for all and is the file of 1 of them"
    ]
    history.edit(lags, **AT_ONCE, **MOVED)
    history.tick(lags)
    assert notes(history) == []


# While a file is not sound


def test_people_who_register_while_a_file_is_not_sound_get_their_mails(history: History) -> None:
    history.replicas[0].files = {"webinars/w.toml": toml(start="3 July, 1 pm")}
    history.tick()
    history.register("b@example.org")
    assert [one.address for one in history.run()] == ["b@example.org"]
    assert history.states("b@example.org")["reminder-day"] == "pending"


def test_an_edit_goes_on_waiting_while_the_file_is_not_sound(history: History) -> None:
    history.edit(**MOVED)
    history.tick()
    history.replicas[0].files = {"webinars/w.toml": toml(start="nonsense")}
    assert kinds(history.live_on(minutes=11)) == {"change": 1}


def test_no_webinar_ends_with_its_folder(history: History) -> None:
    history.replicas[0].files = {}
    history.tick()
    history.register("b@example.org")
    assert [one.address for one in history.run()] == ["b@example.org"]


def problems(history: History) -> str:
    history.tick()
    found = history.replicas[0].catalogue.problems
    return " ".join(str(one) for of_file in found.values() for one in of_file)


def test_where_an_edit_is_refused_it_says_what_still_goes_out_and_when(history: History) -> None:
    history.edit(status="draft", start="nonsense")
    assert "its last sound revision governs, and sends reminder-day at 2025-07-02 07:00 UTC" in problems(
        history
    )


# Times that nobody can have meant


def test_last_years_file_with_this_years_dates_is_refused_and_says_the_ways_out(history: History) -> None:
    history.now = utc("2026-05-01 08:00")
    history.tick()
    history.edit(start=datetime(2026, 7, 3, 13), end=datetime(2026, 7, 3, 15))
    words = problems(history)
    assert "start: 2026-07-03 11:00 UTC, but the webinar `w` ended at 2025-07-03 13:00 UTC" in words
    assert "choose another `id`" in words
    assert "again = true" in words
    assert history.live_on(days=90) == []


def test_the_same_people_again_are_notified(history: History) -> None:
    history.now = utc("2026-05-01 08:00")
    history.tick()
    history.edit(start=datetime(2026, 7, 3, 13), end=datetime(2026, 7, 3, 15), again=True, **AT_ONCE)
    assert kinds(history.run()) == {"change": 1}


def test_without_people_last_years_file_is_anybodys(database: Database, running: set[int]) -> None:
    history = History(database, "2026-05-01 08:00")
    history.start()
    history.tick()
    history.edit(start=datetime(2026, 7, 3, 13), end=datetime(2026, 7, 3, 15))
    assert problems(history) == ""


@pytest.mark.engines("both")
def test_a_future_start_is_not_moved_into_the_past(history: History) -> None:
    history.edit(start=datetime(2025, 6, 3, 13), end=datetime(2025, 6, 3, 15))
    assert "in the past; before it was 2025-07-03 11:00 UTC" in problems(history)
    assert start_of(history) == OLD


def test_the_end_of_a_webinar_that_has_begun_can_be_moved(history: History) -> None:
    history.now = utc("2025-07-03 11:30")
    history.tick()
    history.edit(**AT_ONCE, end=datetime(2025, 7, 3, 16))
    assert problems(history) == ""
