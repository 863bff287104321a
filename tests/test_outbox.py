"""Mails that are no delivery: asked for by one process, sent by another."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler import outbox
from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.delivery.asked_for import AskedFor
from scheduler.delivery.pace import Pace
from scheduler.delivery.relay import Relay
from scheduler.outbox import KEPT_FOR, MOST_WITHIN, USEFUL_FOR, WITHIN, TooMany
from scheduler.smtp.pool import Pool, RelaySettings
from tests.smtp.scripted import Deed, ScriptedServer
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
        assert outbox.pop(conn, NOW) == (first, "webinar@who.int", "ada@who.int", MAIL, NOW, False)
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


@in_loop
async def test_a_patient_mail_that_a_relay_refuses_for_now_is_tried_again_and_leaves_no_content(
    database: Database,
) -> None:
    async with ScriptedServer({"rcpt": ["451 4.7.1 Greylisted, please try again", ""]}) as server:
        asked_for = _asked_for(database, server, clock := VirtualClock(NOW))
        number = _put_patient(database)
        await asked_for.send()
        with database.reading() as conn:
            assert outbox.outcome(conn, number) is None
            assert not outbox.has_work(conn, NOW), "it waits for its next try"
        clock.move_to(NOW + outbox.FIRST_PAUSE)
        await asked_for.send()
        assert len(server.mails) == 1
    assert _outcome(database, number) == ""
    assert _contents(database) == {""}


@in_loop
async def test_a_patient_mail_that_is_refused_for_good_or_may_have_gone_out_is_not_tried_again(
    database: Database,
) -> None:
    async with ScriptedServer({"rcpt": ["550 5.1.1 No such user", ""], "content": Deed.CLOSE}) as server:
        asked_for = _asked_for(database, server, VirtualClock(NOW))
        first, second = _put_patient(database), _put_patient(database)
        await asked_for.send()
    assert "5.1.1" in (_outcome(database, first) or "")
    assert _outcome(database, second)
    assert _contents(database) == {""}


@in_loop
async def test_a_patient_mail_is_given_up_after_an_hour(database: Database) -> None:
    async with ScriptedServer({"mail": "451 4.3.0 Not now"}) as server:
        asked_for = _asked_for(database, server, clock := VirtualClock(NOW))
        number, minutes = _put_patient(database), 0
        while clock.now() <= NOW + outbox.PATIENT_FOR:
            await asked_for.send()
            clock.move_to(NOW + timedelta(minutes=(minutes := minutes + 1)))
        await asked_for.send()
        tries = sum(line.startswith("MAIL") for line in server.commands)
    assert _outcome(database, number) == "it could not be sent in time"
    assert _contents(database) == {""}
    assert tries == 8, "after 0, 1, 2, 4, 8, 16, 31 and 46 minutes"


@in_loop
async def test_a_relay_that_takes_no_mail_is_asked_once_a_tick_and_one_that_refuses_a_mail_is_asked_on(
    database: Database,
) -> None:
    async with ScriptedServer({"mail": "451 4.3.0 Not now"}) as closed:
        for _ in range(3):
            _put_patient(database)
        await _asked_for(database, closed, VirtualClock(NOW)).send()
        assert sum(line.startswith("MAIL") for line in closed.commands) == 1
    async with ScriptedServer({"rcpt": "451 4.7.1 Greylisted, please try again"}) as greylisting:
        await _asked_for(database, greylisting, VirtualClock(NOW)).send()
        assert sum(line.startswith("RCPT") for line in greylisting.commands) == 2


@in_loop
async def test_a_mail_for_whose_outcome_somebody_waits_is_tried_once(database: Database) -> None:
    async with ScriptedServer({"rcpt": ["451 4.7.1 Greylisted, please try again", ""]}) as server:
        number = _put(database)
        await _asked_for(database, server, VirtualClock(NOW)).send()
    assert "4.7.1" in (_outcome(database, number) or "")


def test_a_mail_to_somebody_who_was_forgotten_while_a_relay_had_it_is_not_put_back(
    database: Database,
) -> None:
    _put_patient(database)
    with database.transaction() as conn:
        mail = outbox.pop(conn, NOW)
        assert mail
        conn.exec_driver_sql("DELETE FROM outbox")
        outbox.put_back(conn, NOW, mail)
        assert not outbox.has_work(conn, NOW + timedelta(minutes=5))


def _put_patient(database: Database) -> int:
    with database.transaction() as conn:
        return outbox.put(conn, NOW, "webinar@who.int", "ada@who.int", MAIL, patient=True)


def _asked_for(database: Database, server: ScriptedServer, clock: VirtualClock) -> AskedFor:
    relay = Relay("relay", Pool(RelaySettings(server.host, server.port, tls="none", timeout=5)), Pace(), 1)
    return AskedFor(database, clock, [relay], lambda address: True)


def _outcome(database: Database, number: int) -> str | None:
    with database.reading() as conn:
        return outbox.outcome(conn, number)


def _contents(database: Database) -> set[str]:
    with database.reading() as conn:
        return set(conn.exec_driver_sql("SELECT content FROM outbox").scalars())
