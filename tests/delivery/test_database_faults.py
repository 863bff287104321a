"""What a failing database, or a fault of ours beside it, does to mails on the wire: none is lost, and none goes out
twice unless the ledger has it in doubt."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import TimeoutError as PoolTimeout

from scheduler.database import postgresql
from scheduler.database import sqlite as on_sqlite
from scheduler.database.engine import Database, may_plan
from scheduler.delivery import dispatcher, recorder
from scheduler.delivery.sender import Sender
from scheduler.ledger import claims, outcomes, restored, settling
from scheduler.mail.writing.stencil import Stencils
from tests.delivery.test_dispatcher import ANNOUNCED, Desk
from tests.smtp_server import MailServer, in_loop
from tests.support import until, webinar, words

pytestmark = pytest.mark.engines("sqlite")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(recorder, "LAST_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(dispatcher, "RETRY_SECONDS", 0.01)


@contextmanager
def failing(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, fault: Exception, times: int
) -> Iterator[None]:
    """The function fails so many times, and then does its work."""
    real, left = getattr(place, name), [copy(fault) for _ in range(times)]
    lock = threading.Lock()

    def fails(*given: Any, **more: Any) -> Any:
        with lock:
            if left:
                raise left.pop()
        return real(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(place, name, fails)
        yield
    assert not left, "it was never called"


def raises(*given: Any) -> None:
    raise KeyError("a bug")


def check(here: Desk, server: MailServer, names: str, twice: str = "") -> None:
    """Each has its mail, once; those in `twice` twice, and in doubt between."""
    copies = Counter(mail.recipients[0][0] for mail in server.mails)
    assert copies == Counter(names) + Counter(twice)
    assert {here[name] for name in names} == {"sent"}
    assert here.ledger.sql("SELECT count(*) FROM delivery WHERE lease_token IS NOT NULL") == [(0,)]


class Patient(MailServer):
    """Takes mails, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answering = asyncio.Event()

    async def handle_DATA(self, *given: Any) -> str:  # noqa: N802
        reply = await super().handle_DATA(*given)
        await self.answering.wait()
        return reply


ODD = [
    KeyError("a bug"),
    RecursionError(),
    PoolTimeout("QueuePool limit reached"),
    OSError("too many open files"),
]
odd = pytest.mark.parametrize("fault", ODD, ids=lambda error: type(error).__name__)


@pytest.fixture
def desk(database: Database) -> Callable[..., Desk]:
    return lambda server, **more: Desk(database, server, **more)


Over = Callable[..., Desk]


# Faults at each step


@odd
@in_loop
async def test_an_outcome_that_cannot_be_written_is_told_and_written_later(
    desk: Over, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async with MailServer() as server:
        here = desk(server, connections=2)
        here.register(*"abc")
        with failing(monkeypatch, recorder, "conclude", fault, 6):
            here.dispatcher.wake()
            await until(lambda: here.dispatcher.troubles)
            assert words(here.dispatcher.troubles) == (
                f"the ledger can't be written: {type(fault).__name__}",
            )
            await here.dispatcher.until_idle()
        assert here.dispatcher.troubles == ()
        await here.close()
        check(here, server, "abc")


@odd
@in_loop
async def test_a_claim_that_fails_is_told_and_tried_again_at_the_next_wake(
    desk: Over, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register("a")
        with failing(monkeypatch, dispatcher, "_claim", fault, 2):
            await here.send()
            assert words(here.dispatcher.troubles) == (f"claiming what is due: {type(fault).__name__}",)
            await here.send()
            await here.send()
        assert here.dispatcher.troubles == ()
        await here.close()
        check(here, server, "a")


@pytest.mark.engines("both")
@in_loop
async def test_what_was_claimed_by_a_transaction_of_unknown_end_goes_out_all_the_same(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its COMMIT came through, its answer did not: the service does not know of these leases."""
    async with MailServer() as server:
        here = desk(server)
        here.register(*"abc")
        run = here.ledger.database.run_sending

        async def answer_lost(function: Any, *given: Any) -> Any:
            found = await run(function, *given)
            if function is dispatcher._claim:
                raise OSError("connection lost")
            return found

        with monkeypatch.context() as broken:
            broken.setattr(here.ledger.database, "run_sending", answer_lost)
            await here.send()
        assert here.ledger.sql("SELECT count(*) FROM delivery WHERE lease_token IS NOT NULL") == [(3,)]
        await here.send()
        await here.close()
        check(here, server, "abc")


@pytest.mark.engines("both")
@in_loop
async def test_leases_that_could_not_be_given_back_are_given_back_later(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register(*"abc")
        job = here.dispatcher.job
        render = Stencils.render

        def is_taken_back(*given: Any, **more: Any) -> Any:
            here.dispatcher.job = replace(job, live=[])
            return render(*given, **more)

        with monkeypatch.context() as patched:
            patched.setattr(Stencils, "render", is_taken_back)
            patched.setattr(claims, "end_leases", raises)
            await here.send()
            assert server.mails == []
            assert words(here.dispatcher.troubles) == ("freeing leases: KeyError",)
        await here.send()
        assert here.ledger.sql("SELECT count(*) FROM delivery WHERE lease_token IS NOT NULL") == [(0,)]
        here.dispatcher.job = job
        await here.send()
        assert here.dispatcher.troubles == ()
        await here.close()
        check(here, server, "abc")


@in_loop
async def test_a_pump_that_died_is_started_again_at_the_next_wake_and_told(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register("a")
        with failing(monkeypatch, dispatcher, "wanted_workers", KeyError("a bug"), 1):
            await here.send()
            assert words(here.dispatcher.troubles) == ("handing out mails: KeyError",)
            await here.send()
        assert here.dispatcher.troubles == ()
        await here.close()
        check(here, server, "a")


@in_loop
async def test_workers_that_fail_again_and_again_are_told(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as server:
        here = desk(server, connections=2)
        here.register(*"ab")
        with failing(monkeypatch, Sender, "_next_group", RuntimeError("a bug"), 6):
            here.dispatcher.wake()
            await until(lambda: here.dispatcher.troubles)
            assert words(here.dispatcher.troubles) == ("sending mails: RuntimeError",)
            await here.dispatcher.until_idle()
        assert here.dispatcher.troubles == ()
        await here.close()
        check(here, server, "ab")


@in_loop
async def test_a_fault_beside_mails_that_are_begun_keeps_none_of_them_from_going(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they are made `sending`, the next one is rendered: that may fail."""
    async with MailServer() as server:
        here = desk(server)
        here.register(*"abc")
        real, calls = Sender._next_group, 0

        async def fails(sender: Sender, *given: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls in (2, 4):
                raise RuntimeError("a bug")
            return await real(sender, *given, **more)

        monkeypatch.setattr(Sender, "_next_group", fails)
        await here.send()
        await here.close()
        check(here, server, "abc")


# What only the database itself does


@contextmanager
def others_hold_the_write_lock(here: Desk) -> Iterator[None]:
    """Another program's, on SQLite."""
    file = str(here.ledger.database.engine.url.database)
    with closing(sqlite3.connect(file, timeout=10, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@in_loop
async def test_a_lock_that_another_program_holds_ends_no_lease(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_sqlite, "BUSY_SECONDS", 0)
    database = Database(sqlite_url)
    async with Patient() as server:
        here = Desk(database, server, connections=2)
        here.register(*"abcd")
        here.dispatcher.wake()
        await until(lambda: len(server.mails) == 2)
        with others_hold_the_write_lock(here):
            server.answering.set()
            await until(lambda: here.dispatcher.troubles)
            assert str(here.dispatcher.troubles[0]) == "the ledger can't be written: SQLITE_BUSY"
            await asyncio.sleep(0.2)
        await here.dispatcher.until_idle()
        await here.send()
        await here.close()
        check(here, server, "abcd")
    database.close()


def administer(database: Database, *statements: str) -> None:
    """As the database's owner, by a session of its own."""
    owner = Database(database.engine.url.set(username="postgres").render_as_string(hide_password=False))
    name = make_url(database.engine.url).database
    with owner.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        for statement in ("SET default_transaction_read_only = off", *statements):
            conn.exec_driver_sql(statement.format(database=name))
    owner.close()


END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@in_loop
async def test_a_backend_that_is_terminated_loses_and_doubles_nothing(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    async with MailServer() as server:
        here = Desk(database, server, connections=2)
        here.register(*"abcdefgh")
        here.dispatcher.wake()
        for _ in range(5):
            await asyncio.sleep(0.03)
            administer(database, END_SESSIONS)
        await here.dispatcher.until_idle()
        await here.send()
        await here.send()
        assert here.dispatcher.troubles == ()
        await here.close()
        check(here, server, "abcdefgh")
    database.close()


@pytest.mark.parametrize(
    ("begin", "end", "fault"),
    [
        (
            ["ALTER DATABASE {database} SET default_transaction_read_only = on", END_SESSIONS],
            ["ALTER DATABASE {database} RESET default_transaction_read_only", END_SESSIONS],
            "ReadOnlySqlTransaction",
        ),
        (
            ["REVOKE UPDATE, INSERT ON attempt FROM webinar"],
            ["GRANT UPDATE, INSERT ON attempt TO webinar"],
            "InsufficientPrivilege",
        ),
    ],
    ids=["read-only", "privilege"],
)
@in_loop
async def test_what_the_database_refuses_for_a_while_is_written_afterwards(
    postgresql_url: str, begin: list[str], end: list[str], fault: str
) -> None:
    administer(
        Database(postgresql_url),
        "DO $$ BEGIN CREATE ROLE webinar LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO webinar",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO webinar",
    )
    url = make_url(postgresql_url).set(username="webinar").render_as_string(hide_password=False)
    database = Database(url)
    async with Patient() as server:
        here = Desk(database, server, connections=2)
        here.register(*"abcd")
        here.dispatcher.wake()
        await until(lambda: len(server.mails) == 2)
        administer(database, *begin)
        server.answering.set()
        await until(lambda: any(fault in one.words for one in here.dispatcher.troubles))
        await asyncio.sleep(0.2)
        assert len(server.mails) == 2, "none is begun that cannot be recorded"
        administer(database, *end)
        await here.dispatcher.until_idle()
        await here.send()
        assert here.dispatcher.troubles == ()
        await here.close()
        check(here, server, "abcd")
    database.close()


def test_a_client_that_is_lost_in_the_middle_of_planning_does_not_keep_the_others_waiting(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen, or lost without a FIN: the server ends its transaction, and with it the lock."""
    monkeypatch.setitem(postgresql.LIMITS, "idle_in_transaction_session_timeout", 1)
    lost, other = Database(postgresql_url), Database(postgresql_url)
    frozen = lost.engine.connect()
    assert may_plan(frozen, "w")
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with other.transaction() as conn:
            if may_plan(conn, "w"):
                break
        time.sleep(0.1)
    else:
        pytest.fail("the others wait")
    frozen.invalidate()
    frozen.close()
    lost.close()
    other.close()


@in_loop
async def test_an_outcome_that_waits_at_the_end_is_written_before_the_leases_end(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register("a")
        with failing(monkeypatch, outcomes, "_conclude_told", KeyError("a bug"), 12):  # where there are any
            here.dispatcher.wake()
            await until(lambda: here.dispatcher.troubles)
            await here.dispatcher.drain(5)
        await here.close()
        check(here, server, "a")


@in_loop
async def test_an_end_while_the_database_is_away_does_not_wait_for_it(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Patient() as server:
        here = desk(server, connections=2)
        here.register(*"abcd")
        here.dispatcher.wake()
        await until(lambda: len(server.mails) == 2)
        with monkeypatch.context() as away:
            away.setattr(recorder, "_record", raises)
            away.setattr(claims, "end_leases", raises)
            server.answering.set()
            await until(lambda: here.dispatcher.troubles)
            async with asyncio.timeout(5):
                await here.dispatcher.drain(0.2)
        with here.ledger.database.transaction() as conn:  # whoever starts next, or notices
            claims.end_leases(conn, ANNOUNCED)
        assert sorted(here[name].partition(":")[0] for name in "abcd") == ["in_doubt"] * 2 + ["pending"] * 2
        for relay in here.relays:
            await relay.pool.close()


# Entries that the database refuses for what they hold

REFUSES = {
    "sqlite": "CREATE TRIGGER poison BEFORE {event} ON attempt WHEN {when} BEGIN SELECT RAISE(ABORT, 'no'); END",
    "postgresql": "ALTER TABLE attempt ADD CHECK (NOT ({when}))",
}


def refuse(here: Desk, event: str, when: str) -> None:
    engine = here.ledger.database.engine.name
    when = when if engine == "sqlite" else when.replace("NEW.", "")
    here.ledger.sql(REFUSES[engine].format(event=event, when=when))


@pytest.mark.engines("both")
@in_loop
async def test_an_outcome_that_is_refused_is_recorded_without_the_relays_words(desk: Over) -> None:
    async with MailServer(refusals={"b@people.test": "550 5.1.1 poison"}) as server:
        here = desk(server, connections=3)
        here.register(*"abc")
        refuse(here, "UPDATE", "NEW.reply LIKE '%poison%'")
        await here.send()
        await here.close()
        assert [here[name] for name in "abc"] == ["sent", "failed: refused: 550 5.1.1", "sent"]


@in_loop
async def test_an_outcome_that_is_refused_altogether_leaves_its_mail_in_doubt(desk: Over) -> None:
    async with MailServer() as server:
        here = desk(server, connections=3)
        here.register(*"abc")
        refuse(here, "UPDATE", "NEW.address = 'b@people.test' AND NEW.outcome = 'sent'")
        await here.send()
        await here.send()
        assert [here[name].partition(":")[0] for name in "abc"] == ["sent", "in_doubt", "sent"]
        await here.close()


@pytest.mark.engines("both")
@in_loop
async def test_a_mail_whose_beginning_is_refused_is_held_and_the_others_go(desk: Over) -> None:
    async with MailServer() as server:
        here = desk(server, connections=3)
        here.register(*"abc")
        refuse(here, "INSERT", "NEW.address = 'b@people.test'")
        await here.send()
        await here.close()
        assert [here[name] for name in "abc"] == ["sent", "held: data", "sent"]


# A database that is set back to an earlier state

LEDGER = ("delivery", "attempt", "invitation")


@contextmanager
def lost(here: Desk) -> Iterator[None]:
    """What is committed inside is lost at the end, as by a failover to a standby that lags, or a backup restored."""
    for table in LEDGER:
        here.ledger.sql(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
    yield
    with here.ledger.database.transaction() as conn:
        for table in LEDGER:
            conn.exec_driver_sql(f"DELETE FROM {table}")
            conn.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM kept_{table}")


@pytest.mark.engines("both")
@in_loop
async def test_what_may_have_gone_out_since_is_held_and_nothing_goes_out_twice(desk: Over) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register("a")
        await here.send()
        here.register("b")
        with lost(here):
            await here.send()
        assert here["b"] == "pending"
        here.register("c")
        await here.send()
        assert [here[name] for name in "abc"] == ["sent", "held: restored", "held: restored"]
        assert Counter(mail.recipients[0][0] for mail in server.mails) == Counter("ab")
        assert here.dispatcher.recorder.has_held

        here.register("d")  # life goes on
        await here.send()
        await here.close()
        assert here["d"] == "sent"
        assert here.ledger.states("b@people.test")["reminder-day"] == "pending", (
            "what is ahead is not concerned"
        )


@pytest.mark.engines("both")
@in_loop
async def test_an_outcome_that_alone_was_lost_is_noticed_too(desk: Over) -> None:
    async with Patient() as server:
        here = desk(server)
        here.register("a")
        here.dispatcher.wake()
        await until(lambda: server.mails)
        with lost(here):
            server.answering.set()
            await here.dispatcher.until_idle()
            assert here["a"] == "sent"
        assert here["a"] == "sending"
        await here.dispatcher.recorder.until_recorded()
        assert here["a"] == "held: restored"
        assert [row[0] for row in here.ledger.sql("SELECT outcome FROM attempt")] == ["in_doubt"]
        await here.close()
        assert len(server.mails) == 1


@in_loop
async def test_mails_on_the_wire_while_it_is_set_back_are_held_too(desk: Over) -> None:
    async with Patient() as server:
        here = desk(server)
        server.answering.set()
        here.register("a")
        await here.send()
        server.answering.clear()
        here.register("b")
        with lost(here):
            here.dispatcher.wake()
            await until(lambda: len(server.mails) == 2)
        server.answering.set()
        await here.dispatcher.until_idle()
        here.register("c")
        await here.send()
        await here.send()
        await here.close()
        assert [here[name] for name in "ab"] == ["sent", "held: restored"]
        assert Counter(mail.recipients[0][0] for mail in server.mails)["b"] == 1


@in_loop
async def test_nothing_is_held_because_a_transaction_ended_nobody_knows_how(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its answer lost it may be there or not: both are as they should be."""
    async with MailServer() as server:
        here = desk(server)
        run, losses = here.ledger.database.run_sending, [0]

        async def answer_lost(function: Any, *given: Any) -> Any:
            found = await run(function, *given)
            losses[0] += function is recorder._record
            if function is recorder._record and losses[0] % 2:
                raise OSError("connection lost")
            return found

        monkeypatch.setattr(here.ledger.database, "run_sending", answer_lost)
        for name in "abc":
            here.register(name)
            await here.send()
        assert losses[0] >= 12
        assert not here.dispatcher.recorder.has_held
        await here.close()
        check(here, server, "abc")


@in_loop
async def test_what_is_held_for_it_goes_when_somebody_has_looked(desk: Over) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register("a")
        await here.send()
        with here.ledger.database.transaction() as conn:
            conn.exec_driver_sql("UPDATE delivery SET state = 'pending' WHERE state = 'sent'")
            restored.hold(conn, ANNOUNCED)
            settling.resolve_doubts(conn, ANNOUNCED, {"w": webinar()})
        await here.send()
        assert here["a"] == "held: restored"
        here.ledger.sql("UPDATE delivery SET state = 'pending', reason = '' WHERE reason = 'restored'")
        await here.send()
        await here.close()
        assert here["a"] == "sent"
        assert len(server.mails) == 2
