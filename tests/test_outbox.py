"""Mails that are no delivery: asked for by one process, sent by another."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler import outbox
from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.delivery.asked_for import AskedFor
from scheduler.outbox import KEPT_FOR, MOST_WITHIN, USEFUL_FOR, WITHIN, TooMany
from tests.smtp_server import in_loop
from tests.support import utc

NOW = utc("2025-06-20 08:00")
MAIL = b"Subject: \xc3\xa9\r\n\r\n\xff\r\n"


def _put(database: Database, recipient: str = "ada@who.int", after: timedelta = timedelta()) -> int:
    with database.transaction() as conn:
        return outbox.put(conn, NOW + after, "webinar@who.int", recipient, MAIL)


def test_a_mail_goes_to_one_service_byte_by_byte_and_its_outcome_is_recorded(
    database: Database,
) -> None:
    first, second = _put(database), _put(database, "bob@who.int")
    with database.transaction() as conn:
        assert outbox.has_work(conn, NOW)
        assert outbox.pop(conn, NOW) == (first, "webinar@who.int", "ada@who.int", MAIL)
        assert outbox.outcome(conn, first) is None, "not yet"
        taken = outbox.pop(conn, NOW)
        assert taken
        assert taken.id == second
        assert outbox.pop(conn, NOW) is None
        outbox.record_outcome(conn, NOW, first, "")
        outbox.record_outcome(conn, NOW, second, "rcpt: 550")
        assert (outbox.outcome(conn, first), outbox.outcome(conn, second)) == ("", "rcpt: 550")
        assert not outbox.has_work(conn, NOW)
        assert set(conn.exec_driver_sql("SELECT content FROM outbox").scalars()) == {""}, "nothing is kept"


def test_a_recipient_gets_a_limited_number_an_hour_whoever_else_asks(database: Database) -> None:
    for _ in range(MOST_WITHIN):
        _put(database)
    with pytest.raises(TooMany):
        _put(database)
    _put(database, "bob@who.int")
    _put(database, after=WITHIN + timedelta(seconds=1))


def test_a_mail_in_the_hands_of_a_killed_service_leaves_no_content_and_is_not_sent_again(
    database: Database,
) -> None:
    number = _put(database)
    with database.transaction() as conn:
        assert outbox.pop(conn, NOW)
    with database.transaction() as conn:
        assert set(conn.exec_driver_sql("SELECT content FROM outbox").scalars()) == {""}
        assert outbox.pop(conn, NOW + USEFUL_FOR * 2) is None
        assert outbox.outcome(conn, number) is None, "nobody knows"


@in_loop
async def test_a_day_later_they_are_removed_whether_or_not_anybody_asks_for_another(
    database: Database,
) -> None:
    first, second = _put(database), _put(database, "bob@who.int", KEPT_FOR)
    with database.transaction() as conn:
        while outbox.pop(conn, NOW):
            pass
    clock = VirtualClock(NOW + KEPT_FOR)
    asked_for = AskedFor(database, clock, [], lambda address: True)
    await asked_for.send()
    assert _numbers(database) == [first, second]
    clock.move_to(NOW + KEPT_FOR + timedelta(seconds=1))
    await asked_for.send()
    assert _numbers(database) == [second]


def _numbers(database: Database) -> list[int]:
    with database.reading() as conn:
        return list(conn.exec_driver_sql("SELECT id FROM outbox ORDER BY id").scalars())


def test_a_mail_that_is_no_longer_useful_is_not_sent(database: Database) -> None:
    number = _put(database)
    with database.transaction() as conn:
        assert outbox.pop(conn, NOW + USEFUL_FOR + timedelta(seconds=1)) is None
        assert outbox.outcome(conn, number) == "it could not be sent in time"
