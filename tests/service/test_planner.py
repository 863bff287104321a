"""Planning beside sending: in short transactions, and whatever fails or waits concerns one webinar alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from scheduler.clock import VirtualClock
from scheduler.database import chunk, postgresql
from scheduler.database.engine import Database, execute, may_plan
from scheduler.ledger import claims
from scheduler.readiness import Kind, Reason
from scheduler.registrants import signups
from scheduler.registrants.signups import Details
from scheduler.service.planner import TAKING_IN, Planner
from tests.smtp_server import in_loop
from tests.support import Ledger, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-20 08:00")
DAY = timedelta(hours=24)
MANY = 400
PAST = (datetime(2025, 6, 2, 13), datetime(2025, 6, 2, 15))


class Desk:
    """Two live webinars, and a planner whose transactions take a few rows each."""

    def __init__(self, database: Database) -> None:
        self.ledger = Ledger(database)
        self.planned = 0
        self.planner = Planner(database, VirtualClock(NOW), DAY, self._count)
        self.ledger.govern(webinar(), webinar(id="other"))

    def _count(self) -> None:
        self.planned += 1

    def small(self, rows: int = 50) -> None:
        """From now on each transaction takes so many rows."""
        for piece in (self.planner._rows, self.planner._people):
            piece.rows, piece.record = rows, lambda rows, seconds: None  # type: ignore[method-assign]

    def register(self, many: int, webinar: str = "w") -> None:
        """In one statement."""
        values = ", ".join(f"('{webinar}', '{number:05}@people.test')" for number in range(many))
        self.ledger.sql(f"INSERT INTO registrants (webinar, email) VALUES {values}")

    async def plan(self, seconds: float = 30) -> bool:
        return await self.planner.plan(self.ledger.governing, seconds)

    async def plan_all(self) -> None:
        while await self.plan():
            pass

    async def turns_until_planned(
        self, webinar: str, beside: Callable[[int], None] = lambda turn: None
    ) -> int:
        """How many turns of planning it takes until somebody of this webinar is planned; `beside` is called before
        each."""
        turns = 0
        while not self.number(webinar):
            beside(turns)
            assert await self.plan(seconds=0)
            turns += 1
        return turns

    def number(self, webinar: str) -> int:
        ((number,),) = self.ledger.sql(
            "SELECT count(DISTINCT registration_id) FROM delivery WHERE webinar = :webinar", webinar=webinar
        )
        return int(number)

    def due(self) -> int:
        """How many may be claimed now."""
        with self.ledger.database.engine.connect() as conn:  # no commit
            return len(claims.claim(conn, NOW, "token", 10_000, 10_000))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.mark.engines("both")
@in_loop
async def test_what_is_due_may_leave_after_the_first_chunk(desk: Desk) -> None:
    desk.small()
    desk.register(MANY)
    assert await desk.plan(seconds=0), "there is more"
    assert desk.planned == 1
    assert desk.due() == 50, "of four hundred"
    await desk.plan_all()
    assert desk.due() == MANY
    assert not await desk.plan()


@in_loop
async def test_who_registers_for_another_webinar_does_not_wait_until_all_of_one_are_planned_again(
    desk: Desk,
) -> None:
    desk.register(MANY)
    await desk.plan_all()
    desk.ledger.govern(webinar(join_url="https://meet.who.int/new"))
    desk.small()
    assert await desk.plan(seconds=0)
    desk.register(1, "other")
    assert await desk.turns_until_planned("other") <= 2
    ((behind,),) = desk.ledger.sql("SELECT count(*) FROM registration WHERE plan < 2 AND webinar = 'w'")
    assert behind >= MANY - 4 * 50


@in_loop
async def test_who_registers_after_thousands_does_not_wait_until_all_of_them_are_taken_in(desk: Desk) -> None:
    desk.small()
    desk.register(MANY)
    desk.register(1, "other")
    assert await desk.turns_until_planned("other") <= 3
    ((left,),) = desk.ledger.sql("SELECT count(*) FROM registrant_change")
    assert left >= MANY - 3 * 50
    await desk.plan_all()
    assert desk.number("w") == MANY


@pytest.mark.engines("both")
@in_loop
async def test_who_registers_for_another_webinar_does_not_wait_for_an_import_that_goes_on(desk: Desk) -> None:
    """Rows come faster than they are taken in, from before the person and after."""
    desk.small()
    desk.register(MANY)
    desk.register(1, "other")

    def import_more(turn: int) -> None:
        values = ", ".join(f"('w', 'import-{turn}-{number}@people.test')" for number in range(200))
        desk.ledger.sql(f"INSERT INTO registrants (webinar, email) VALUES {values}")

    assert await desk.turns_until_planned("other", import_more) <= 4


@in_loop
async def test_nobody_waits_for_changes_of_which_nothing_says_whose_they_are(desk: Desk) -> None:
    """As the minute's check notes rows that no trigger saw."""
    desk.small()
    desk.register(MANY)
    desk.register(1, "other")
    desk.ledger.sql("UPDATE registrant_change SET webinar = '' WHERE webinar = 'w'")
    assert await desk.turns_until_planned("other") <= 4
    await desk.plan_all()
    assert desk.number("w") == MANY


@pytest.mark.engines("both")
@in_loop
async def test_rows_of_one_webinar_that_cannot_be_taken_in_leave_the_others_taken_in(desk: Desk) -> None:
    desk.small(1)
    refuse = (
        ["CREATE TRIGGER refused BEFORE INSERT ON registration WHEN NEW.webinar = 'w'"
         " BEGIN SELECT RAISE(ABORT, 'no'); END"]
        if not desk.ledger.database.dialect.takes_replicas
        else ["ALTER TABLE registration ADD CONSTRAINT refused CHECK (webinar <> 'w')"]
    )  # fmt: skip
    desk.register(2, "other")
    desk.register(3)
    for sql in refuse:
        with desk.ledger.database.transaction() as conn:
            conn.exec_driver_sql(sql)
    for _ in range(12):
        await desk.plan(seconds=0)
    assert desk.number("other") == 2
    (reason,) = desk.planner.troubles
    assert reason.words.startswith(f"{TAKING_IN}: ")


@in_loop
async def test_in_a_webinar_that_is_planned_again_who_has_just_registered_comes_first(desk: Desk) -> None:
    desk.register(MANY)
    await desk.plan_all()
    desk.ledger.govern(webinar(join_url="https://meet.who.int/new"))
    desk.small()
    desk.ledger.register("new@people.test")
    while desk.number("w") == MANY:
        assert await desk.plan(seconds=0)
    ((behind,),) = desk.ledger.sql("SELECT count(*) FROM registration WHERE plan = 1 AND webinar = 'w'")
    assert behind > MANY / 2


@in_loop
async def test_a_webinar_that_cannot_be_planned_is_told_and_leaves_the_others_planned(desk: Desk) -> None:
    desk.register(3)
    await desk.plan_all()
    desk.ledger.sql("UPDATE registration SET zone = 'Europe/Atlantis', plan = 0 WHERE webinar = 'w'")
    desk.register(2, "other")
    await desk.plan()
    assert desk.planner.troubles == (Reason(Kind.FAILURE, "planning w: UnknownTimeZoneError"),)
    assert desk.number("other") == 2
    assert desk.planner._people.rows < chunk.FIRST, "it may be that it lasted too long"
    desk.ledger.sql("UPDATE registration SET zone = 'Asia/Tokyo'")
    await desk.plan_all()
    assert desk.planner.troubles == ()


@in_loop
async def test_a_webinar_that_is_gone_is_no_trouble_any_more(desk: Desk) -> None:
    desk.register(1)
    await desk.plan_all()
    desk.ledger.sql("UPDATE registration SET zone = 'Europe/Atlantis', plan = 0")
    await desk.plan()
    assert desk.planner.troubles
    desk.ledger.govern(webinar(status="ended"))
    await desk.plan()
    assert desk.planner.troubles == ()


@pytest.mark.engines("both")
@in_loop
async def test_a_zone_that_the_tz_database_dropped_keeps_nobody_from_being_planned(desk: Desk) -> None:
    """Its people live somewhere else now; what was computed for it goes."""
    desk.register(1)
    await desk.plan_all()
    desk.ledger.sql("UPDATE due_time SET zone = 'Europe/Atlantis' WHERE message = 'reminder-day'")
    desk.ledger.govern(webinar(join_url="https://meet.who.int/new"))
    await desk.plan_all()
    assert desk.planner.troubles == ()
    assert desk.ledger.sql("SELECT count(*) FROM due_time WHERE zone = 'Europe/Atlantis'") == [(0,)]


@in_loop
async def test_planning_never_waits_for_another_service(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    desk = Desk(database)
    desk.register(2)
    desk.register(2, "other")
    with database.engine.connect() as conn:
        assert may_plan(conn, "w")
        await desk.plan()
        assert (desk.number("w"), desk.number("other")) == (0, 2)
        assert desk.planner.troubles == ()
        conn.rollback()
        assert may_plan(conn, "intake")
        desk.register(1, "third")
        await desk.plan()
        assert desk.number("w") == 2
        assert desk.ledger.sql("SELECT count(*) FROM registrant_change") == [(1,)], (
            "the other one takes it in"
        )
    database.close()


@in_loop
async def test_another_programs_lock_on_the_rows_stops_new_registrations_and_nothing_else(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgresql.LIMITS, "lock_timeout", 1)
    database = Database(postgresql_url)
    desk = Desk(database)
    desk.register(2)
    await desk.plan_all()
    desk.ledger.govern(webinar(join_url="https://meet.who.int/new"))
    with database.engine.connect() as conn:
        conn.exec_driver_sql("INSERT INTO registrant_change (registrant_id) VALUES (1)")
        conn.commit()
        conn.exec_driver_sql("LOCK registrants IN ACCESS EXCLUSIVE MODE")
        await desk.plan()
        assert desk.planner.troubles == (Reason(Kind.FAILURE, f"{TAKING_IN}: LockNotAvailable"),)
        assert desk.ledger.sql("SELECT DISTINCT plan FROM registration") == [(2,)], "planned all the same"
    await desk.plan_all()
    assert desk.planner.troubles == ()
    database.close()


@in_loop
async def test_sending_does_not_wait_for_a_transaction_of_planning(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    begun, go_on = threading.Event(), threading.Event()

    def long(conn: Connection) -> None:
        begun.set()
        assert go_on.wait(20)

    planning = asyncio.create_task(database.run(long))
    await asyncio.to_thread(begun.wait, 20)
    await asyncio.wait_for(database.run_sending(lambda conn: execute(conn, "SELECT 1").scalar()), 10)
    assert not planning.done()
    go_on.set()
    await planning
    database.close()


@in_loop
async def test_a_conflict_of_transactions_is_tried_again_at_once(postgresql_url: str) -> None:
    """Two that lock the same rows the other way round: PostgreSQL ends one of them, and nobody hears of it."""
    database = Database(postgresql_url)
    desk = Desk(database)
    desk.register(2)
    await desk.plan_all()
    first, second = (row.id for row in desk.ledger.sql("SELECT id FROM registration ORDER BY id"))
    update = "UPDATE registration SET name = name || :name WHERE id = :id"
    tries = []

    def there_and_back(conn: Connection) -> None:
        tries.append(time.monotonic())
        execute(conn, update, name="x", id=second)
        execute(conn, update, name="x", id=first)

    with database.engine.connect() as conn:
        conn.exec_driver_sql("SET LOCAL deadlock_timeout = '10s'")  # let the other one be ended
        execute(conn, update, name="y", id=first)
        other = asyncio.create_task(database.run(there_and_back))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(execute, conn, update, name="y", id=second)
        conn.commit()
        await other
    assert len(tries) > 1
    assert {row.name for row in desk.ledger.sql("SELECT name FROM registration")} == {"yx"}
    database.close()


def _statements(database: Database, work: Callable[[], object]) -> int:
    count = [0]

    def note(*_: Any) -> None:
        count[0] += 1

    event.listen(database.engine, "before_cursor_execute", note)
    work()
    event.remove(database.engine, "before_cursor_execute", note)
    return count[0]


def test_with_nothing_to_do_it_costs_the_same_with_many_webinars_as_with_one(database: Database) -> None:
    """Live ones with people who wait for their reminders, and ended ones; counted in statements."""
    ledger = Ledger(database)

    def idle() -> None:
        @in_loop
        async def plan() -> None:
            planner = Planner(database, VirtualClock(NOW), DAY, lambda: None)
            assert not await planner.plan(governing, 30)
            with database.transaction() as conn:
                assert claims.claim(conn, NOW, "token", 50, 50) == []
                assert claims.next_wake(conn, NOW)

        plan()

    found = []
    for ids in (["w"], [f"w{number}" for number in range(30)]):
        ledger.govern(*(webinar(id=name) for name in ids))
        ledger.govern(*(webinar(id=f"over-{name}", status="ended") for name in ids))
        for name in ids:
            ledger.register("a@example.org", webinar=name)
        ledger.plan(NOW)
        ledger.sql("UPDATE delivery SET state = 'sent' WHERE message = 'confirmation'")
        governing = ledger.governing
        assert len(governing) >= len(ids)
        found.append(_statements(database, idle))
    assert found[0] == found[1]


# Places


@pytest.mark.engines("both")
@in_loop
async def test_a_place_that_becomes_free_is_given_to_whoever_waits(database: Database) -> None:
    desk = Desk(database)
    small = webinar(capacity=1)
    desk.ledger.govern(small)
    with database.transaction() as conn:
        signups.register(conn, NOW, small, [Details("ana@who.int"), Details("ben@who.int")], "form")
    await desk.plan_all()
    assert [one["address"] for one in desk.ledger.deliveries()] == ["ana@who.int"] * 4
    with database.transaction() as conn:
        signups.remove(conn, "w", "ana@who.int")
    desk.planner._places_at = 0.0  # seconds later
    await desk.plan_all()
    assert desk.ledger.states("ben@who.int")["confirmation"] == "pending"


@in_loop
async def test_nobody_waits_for_a_webinar_that_is_cancelled_or_over(database: Database) -> None:
    desk = Desk(database)
    small = webinar(capacity=1)
    with database.transaction() as conn:
        signups.register(conn, NOW, small, [Details("ana@who.int"), Details("ben@who.int")], "form")
    for changed in (webinar(capacity=2, cancelled=True), webinar(capacity=2, start=PAST[0], end=PAST[1])):
        desk.ledger.govern(changed)
        desk.planner._places_at = 0.0
        await desk.plan_all()
        assert desk.ledger.states("ben@who.int") == {}
    assert not desk.ledger.sql("SELECT 1 FROM signup WHERE state = 'waiting'")
    assert [row.recipient for row in desk.ledger.sql("SELECT recipient FROM outbox")] == ["ben@who.int"]


@pytest.mark.engines("both")
@in_loop
async def test_addresses_that_nobody_confirms_within_a_day_are_deleted(database: Database) -> None:
    desk = Desk(database)
    with database.transaction() as conn:
        for address, at in (("ana@who.int", NOW - DAY - timedelta(hours=1)), ("ben@who.int", NOW)):
            signups.register(conn, at, webinar(), [Details(address)], "form", confirmed=False)
    await desk.plan_all()
    assert [row.address for row in desk.ledger.sql("SELECT address FROM signup")] == ["ben@who.int"]
