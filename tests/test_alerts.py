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

    def note(self, *wrong: AlertKey, prefix: str = "text ", words: str = "line 8: nonsense") -> None:
        self.now += timedelta(minutes=1)
        with self.database.transaction() as conn:
            alerts.reconcile(conn, self.now, dict.fromkeys(wrong, words), prefix)

    def mails(self) -> list[tuple[str, str]]:
        """What is to be told; taken, as if it had been sent."""
        return [("right" if one.resolved else "wrong", one.key) for one in self.taken()]

    def taken(self) -> list[AlertMail]:
        with self.database.transaction() as conn:
            return [one for one in alerts.due_mails(conn, self.now) if alerts.claim(conn, self.now, one)]

    def give_back(self, telling: AlertMail) -> None:
        with self.database.transaction() as conn:
            alerts.release(conn, self.now, telling)

    def standing(self) -> list[tuple[str, datetime | None]]:
        with self.database.transaction() as conn:
            return [(one.key, one.told_at) for one in alerts.open_alerts(conn)]


@pytest.fixture
def board(database: Database) -> Board:
    return Board(database)


def test_one_mail_when_it_is_wrong_and_one_when_it_is_right(board: Board) -> None:
    board.note(FR)
    assert board.mails() == [("wrong", "text reminder-day/fr")]
    board.note(FR)
    board.note(FR)
    assert board.mails() == []
    board.note()
    assert board.mails() == [("right", "text reminder-day/fr")]
    board.note()
    assert board.mails() == []


def test_a_problem_resolved_before_anybody_was_notified_is_not_reported(board: Board) -> None:
    board.note(FR)
    board.note()
    assert board.mails() == []


def test_wrong_again_before_the_good_news_was_told_needs_no_mail(board: Board) -> None:
    board.note(FR)
    board.mails()
    board.note()
    board.note(FR)
    assert board.mails() == []
    board.note()
    assert board.mails() == [("right", "text reminder-day/fr")]


def test_wrong_again_after_the_good_news_is_told_again(board: Board) -> None:
    board.note(FR)
    board.mails()
    board.note()
    board.mails()
    board.note(FR)
    assert board.mails() == [("wrong", "text reminder-day/fr")]


def test_each_mistake_and_each_organizer_has_mails_of_their_own(board: Board) -> None:
    board.note(FR, EN, FR._replace(alert_to="other@wto.org"))
    assert len(board.taken()) == 3
    board.note(EN, FR._replace(alert_to="other@wto.org"))
    (right,) = board.taken()
    assert (right.key, right.alert_to) == FR


@pytest.mark.engines("both")
def test_alerts_of_one_kind_leave_the_others_alone(board: Board) -> None:
    board.note(FR)
    board.note(AlertKey("relay", "organizer@who.int"), prefix="relay")
    board.mails()
    board.note()
    assert board.mails() == [("right", "text reminder-day/fr")]


@pytest.mark.engines("both")
def test_a_percent_or_underscore_in_a_prefix_is_only_itself(board: Board) -> None:
    board.note(FR)
    board.mails()
    board.note(prefix="text_")
    board.note(prefix="%")
    assert board.mails() == []


def test_the_mail_has_the_words_of_the_day_on_which_it_goes(board: Board) -> None:
    board.note(FR, words="line 8: nonsense")
    board.note(FR, words="line 9: more nonsense")
    assert [one.words for one in board.taken()] == ["line 9: more nonsense"]


@pytest.mark.engines("both")
def test_of_two_replicas_one_notifies(board: Board) -> None:
    board.note(FR)
    with board.database.transaction() as conn:
        (telling,) = alerts.due_mails(conn, board.now)
        assert [alerts.claim(conn, NOW, telling) for _ in range(2)] == [True, False]
    board.note()
    with board.database.transaction() as conn:
        (telling,) = alerts.due_mails(conn, board.now)
        assert [alerts.claim(conn, NOW, telling) for _ in range(2)] == [True, False]


def test_a_mail_that_the_relay_did_not_take_is_told_later(board: Board) -> None:
    board.note(FR)
    (telling,) = board.taken()
    board.give_back(telling)
    assert board.mails() == [("wrong", "text reminder-day/fr")]
    board.note()
    (telling,) = board.taken()
    board.give_back(telling)
    assert board.mails() == [("right", "text reminder-day/fr")]


def test_fixed_while_its_mail_is_on_the_way(board: Board) -> None:
    board.note(FR)
    assert len(board.taken()) == 1
    board.note()
    assert board.mails() == [("right", "text reminder-day/fr")], "whoever got the first mail gets the second"


def test_fixed_while_the_relay_refuses_its_mail(board: Board) -> None:
    board.note(FR)
    (telling,) = board.taken()
    board.note()
    board.give_back(telling)
    assert board.mails() == []


def test_wrong_again_while_the_good_news_is_refused(board: Board) -> None:
    board.note(FR)
    board.mails()
    board.note()
    (right,) = board.taken()
    board.note(FR)
    board.give_back(right)
    assert board.mails() == [("wrong", "text reminder-day/fr")]


def test_what_stands_is_told_with_the_time_at_which_everybody_knew(board: Board) -> None:
    board.note(FR)
    assert board.standing() == [("text reminder-day/fr", None)]
    board.mails()
    assert board.standing() == [("text reminder-day/fr", board.now)]
    board.note()
    assert board.standing() == []


# Other mistakes in what is wrong already


def test_other_mistakes_are_told_ten_minutes_after_the_last_mail_and_once(board: Board) -> None:
    board.note(FR)
    board.mails()
    board.note(FR, words="line 8: nonsense\nline 9: more")
    assert board.mails() == [], "whoever edits a file saves often"
    board.note(FR, words="line 9: other")
    board.now += timedelta(minutes=7)
    assert board.mails() == []
    board.now += timedelta(minutes=1)
    assert [one.words for one in board.taken()] == ["line 9: other"]
    board.now += timedelta(minutes=30)
    assert board.mails() == []
    board.note()
    assert board.mails() == [("right", "text reminder-day/fr")]


def test_mistakes_that_are_again_as_they_were_told_need_no_mail(board: Board) -> None:
    board.note(FR)
    board.mails()
    board.note(FR, words="line 9: other")
    board.note(FR)
    board.now += timedelta(minutes=30)
    assert board.mails() == []


def test_the_same_mistakes_are_not_told_again_because_something_else_goes_out_meanwhile(board: Board) -> None:
    board.note(FR, words="line 8: nonsense\n\nUntil then the last sound version goes out.")
    board.mails()
    board.note(FR, words="line 8: nonsense\n\nUntil then its mails wait.")
    board.now += timedelta(minutes=30)
    assert board.mails() == []


def test_other_mistakes_whose_mail_is_refused_are_told_later(board: Board) -> None:
    board.note(FR)
    board.mails()
    board.note(FR, words="line 9: other")
    board.now += timedelta(minutes=10)
    (telling,) = board.taken()
    board.give_back(telling)
    assert [one.words for one in board.taken()] == ["line 9: other"]


def test_a_fix_while_the_mail_about_other_mistakes_is_refused_resolves_the_problem(board: Board) -> None:
    board.note(FR)
    board.mails()
    board.note(FR, words="line 9: other")
    board.now += timedelta(minutes=10)
    (telling,) = board.taken()
    board.note()
    board.give_back(telling)
    assert board.mails() == [("right", "text reminder-day/fr")], "the first mail went out"


@pytest.mark.engines("both")
def test_of_two_replicas_one_notifies_of_other_mistakes(board: Board) -> None:
    board.note(FR)
    board.mails()
    board.note(FR, words="line 9: other")
    board.now += timedelta(minutes=10)
    with board.database.transaction() as conn:
        (telling,) = alerts.due_mails(conn, board.now)
        assert [alerts.claim(conn, board.now, telling) for _ in range(2)] == [True, False]
