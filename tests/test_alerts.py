"""Organizers are notified once when a problem begins, and once when it is resolved."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from scheduler import alerts
from scheduler.alerts import AlertKey, AlertMail
from scheduler.database.engine import Database
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-12 08:00")
FR = AlertKey("text reminder-day/fr", "organizer@who.int")
EN = AlertKey("text reminder-day/en", "organizer@who.int")


class Board:
    """The alerts of a database, and what would be mailed next."""

    def __init__(self, database: Database) -> None:
        self.database, self.now = database, NOW

    def reconcile(self, *wrong: AlertKey, prefix: str = "text ", words: str = "line 8: nonsense") -> None:
        self.now += timedelta(minutes=1)
        with self.database.transaction() as conn:
            alerts.reconcile(conn, self.now, dict.fromkeys(wrong, words), prefix)

    def mails(self) -> list[tuple[str, str]]:
        """The due mails, claimed as if they were sent."""
        return [("right" if one.resolved else "wrong", one.key) for one in self.claimed()]

    def claimed(self) -> list[AlertMail]:
        with self.database.transaction() as conn:
            return [one for one in alerts.due_mails(conn, self.now) if alerts.claim(conn, self.now, one)]

    def release(self, mail: AlertMail) -> None:
        with self.database.transaction() as conn:
            alerts.release(conn, self.now, mail)

    def open(self) -> list[tuple[str, datetime | None]]:
        with self.database.transaction() as conn:
            return [(one.key, one.told_at) for one in alerts.open_alerts(conn)]


@pytest.fixture
def board(database: Database) -> Board:
    return Board(database)


def test_one_mail_when_a_problem_begins_and_one_when_it_is_resolved(board: Board) -> None:
    board.reconcile(FR)
    assert board.mails() == [("wrong", "text reminder-day/fr")]
    board.reconcile(FR)
    board.reconcile(FR)
    assert board.mails() == []
    board.reconcile()
    assert board.mails() == [("right", "text reminder-day/fr")]
    board.reconcile()
    assert board.mails() == []


def test_a_problem_resolved_before_anybody_was_notified_is_not_reported(board: Board) -> None:
    board.reconcile(FR)
    board.reconcile()
    assert board.mails() == []


def test_a_problem_that_returns_before_it_was_reported_as_resolved_needs_no_mail(board: Board) -> None:
    board.reconcile(FR)
    board.mails()
    board.reconcile()
    board.reconcile(FR)
    assert board.mails() == []
    board.reconcile()
    assert board.mails() == [("right", "text reminder-day/fr")]


def test_a_problem_that_returns_after_it_was_reported_as_resolved_is_reported_again(board: Board) -> None:
    board.reconcile(FR)
    board.mails()
    board.reconcile()
    board.mails()
    board.reconcile(FR)
    assert board.mails() == [("wrong", "text reminder-day/fr")]


def test_each_mistake_and_each_organizer_has_mails_of_their_own(board: Board) -> None:
    board.reconcile(FR, EN, FR._replace(alert_to="other@wto.org"))
    assert len(board.claimed()) == 3
    board.reconcile(EN, FR._replace(alert_to="other@wto.org"))
    (right,) = board.claimed()
    assert (right.key, right.alert_to) == FR


@pytest.mark.engines("both")
def test_alerts_of_one_kind_leave_the_others_alone(board: Board) -> None:
    board.reconcile(FR)
    board.reconcile(AlertKey("relay", "organizer@who.int"), prefix="relay")
    board.mails()
    board.reconcile()
    assert board.mails() == [("right", "text reminder-day/fr")]


@pytest.mark.engines("both")
def test_a_percent_or_underscore_in_a_prefix_is_only_itself(board: Board) -> None:
    board.reconcile(FR)
    board.mails()
    board.reconcile(prefix="text_")
    board.reconcile(prefix="%")
    assert board.mails() == []


def test_the_mail_has_the_words_of_the_day_on_which_it_goes(board: Board) -> None:
    board.reconcile(FR, words="line 8: nonsense")
    board.reconcile(FR, words="line 9: more nonsense")
    assert [one.words for one in board.claimed()] == ["line 9: more nonsense"]


@pytest.mark.engines("both")
def test_of_two_replicas_one_notifies(board: Board) -> None:
    board.reconcile(FR)
    with board.database.transaction() as conn:
        (mail,) = alerts.due_mails(conn, board.now)
        assert [alerts.claim(conn, NOW, mail) for _ in range(2)] == [True, False]
    board.reconcile()
    with board.database.transaction() as conn:
        (mail,) = alerts.due_mails(conn, board.now)
        assert [alerts.claim(conn, NOW, mail) for _ in range(2)] == [True, False]


def test_a_mail_that_the_relay_refused_is_sent_later(board: Board) -> None:
    board.reconcile(FR)
    (mail,) = board.claimed()
    board.release(mail)
    assert board.mails() == [("wrong", "text reminder-day/fr")]
    board.reconcile()
    (mail,) = board.claimed()
    board.release(mail)
    assert board.mails() == [("right", "text reminder-day/fr")]


def test_a_problem_fixed_while_its_mail_is_on_the_way(board: Board) -> None:
    board.reconcile(FR)
    assert len(board.claimed()) == 1
    board.reconcile()
    assert board.mails() == [("right", "text reminder-day/fr")], "whoever got the first mail gets the second"


def test_a_problem_fixed_while_the_relay_refuses_its_mail(board: Board) -> None:
    board.reconcile(FR)
    (mail,) = board.claimed()
    board.reconcile()
    board.release(mail)
    assert board.mails() == []


def test_a_problem_that_returns_while_the_mail_that_it_is_resolved_is_refused(board: Board) -> None:
    board.reconcile(FR)
    board.mails()
    board.reconcile()
    (right,) = board.claimed()
    board.reconcile(FR)
    board.release(right)
    assert board.mails() == [("wrong", "text reminder-day/fr")]


def test_open_alerts_have_the_time_at_which_everybody_was_notified(board: Board) -> None:
    board.reconcile(FR)
    assert board.open() == [("text reminder-day/fr", None)]
    board.mails()
    assert board.open() == [("text reminder-day/fr", board.now)]
    board.reconcile()
    assert board.open() == []


# Other mistakes in what is wrong already


def test_other_mistakes_are_reported_once_ten_minutes_after_the_last_mail(board: Board) -> None:
    board.reconcile(FR)
    board.mails()
    board.reconcile(FR, words="line 8: nonsense\nline 9: more")
    assert board.mails() == [], "whoever edits a file saves often"
    board.reconcile(FR, words="line 9: other")
    board.now += timedelta(minutes=7)
    assert board.mails() == []
    board.now += timedelta(minutes=1)
    assert [one.words for one in board.claimed()] == ["line 9: other"]
    board.now += timedelta(minutes=30)
    assert board.mails() == []
    board.reconcile()
    assert board.mails() == [("right", "text reminder-day/fr")]


def test_mistakes_that_are_again_as_reported_need_no_mail(board: Board) -> None:
    board.reconcile(FR)
    board.mails()
    board.reconcile(FR, words="line 9: other")
    board.reconcile(FR)
    board.now += timedelta(minutes=30)
    assert board.mails() == []


def test_the_same_mistakes_are_not_reported_again_when_other_mails_go_out_in_the_meantime(
    board: Board,
) -> None:
    board.reconcile(FR, words="line 8: nonsense\n\nUntil then the last sound version goes out.")
    board.mails()
    board.reconcile(FR, words="line 8: nonsense\n\nUntil then its mails wait.")
    board.now += timedelta(minutes=30)
    assert board.mails() == []


def test_other_mistakes_whose_mail_is_refused_are_reported_later(board: Board) -> None:
    board.reconcile(FR)
    board.mails()
    board.reconcile(FR, words="line 9: other")
    board.now += timedelta(minutes=10)
    (mail,) = board.claimed()
    board.release(mail)
    assert [one.words for one in board.claimed()] == ["line 9: other"]


def test_a_fix_while_the_mail_about_other_mistakes_is_refused_resolves_the_problem(board: Board) -> None:
    board.reconcile(FR)
    board.mails()
    board.reconcile(FR, words="line 9: other")
    board.now += timedelta(minutes=10)
    (mail,) = board.claimed()
    board.reconcile()
    board.release(mail)
    assert board.mails() == [("right", "text reminder-day/fr")], "the first mail went out"


@pytest.mark.engines("both")
def test_of_two_replicas_one_notifies_of_other_mistakes(board: Board) -> None:
    board.reconcile(FR)
    board.mails()
    board.reconcile(FR, words="line 9: other")
    board.now += timedelta(minutes=10)
    with board.database.transaction() as conn:
        (mail,) = alerts.due_mails(conn, board.now)
        assert [alerts.claim(conn, board.now, mail) for _ in range(2)] == [True, False]
