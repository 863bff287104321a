"""A service's session of its own, on a real PostgreSQL: seen by others, and woken by what is written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import monotonic

import pytest

from scheduler.database import presence, watch
from scheduler.database.engine import Database, dialect, execute
from scheduler.database.presence import Presence
from scheduler.ledger import claims
from tests.endtoend.support import free_port
from tests.smtp_server import in_loop
from tests.support import Ledger, until, utc, webinar


def holders(database: Database) -> list[int]:
    with database.transaction() as conn:
        return dialect(conn).holders(conn) or []


def counters(database: Database) -> dict[int, int]:
    with database.transaction() as conn:
        return {row.holder: row.counter for row in execute(conn, "SELECT holder, counter FROM service")}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats four times a second; whoever stands still for a second and a half is gone."""
    monkeypatch.setattr(presence, "RETRY_SECONDS", 0.05)
    for name, seconds in (("BEAT_SECONDS", 0.25), ("GONE_SECONDS", 1.5), ("LEASE_SECONDS", 3.0)):
        monkeypatch.setattr(watch, name, seconds)


def end_all_sessions(database: Database) -> None:
    with database.transaction() as conn:
        execute(
            conn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )


@in_loop
async def test_others_see_that_a_service_is_there_and_when_it_is_gone(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    one, other = Presence(postgresql_url, postgresql_url), Presence(postgresql_url, postgresql_url)
    await one.start()
    await other.start()
    await until(lambda: sorted(holders(database)) == sorted([one.holder, other.holder]))
    await one.close()
    await until(lambda: holders(database) == [other.holder])
    await other.close()
    await until(lambda: holders(database) == [])
    database.close()


@in_loop
async def test_a_row_that_is_written_wakes_it_and_one_that_is_rolled_back_does_not(
    postgresql_url: str,
) -> None:
    database, woken = Database(postgresql_url), asyncio.Event()
    here = Presence(postgresql_url, postgresql_url, woken.set)
    await here.start()
    async with asyncio.timeout(20):
        await woken.wait()  # for what was written before it listened
        woken.clear()
        with database.engine.connect() as conn:
            execute(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', 'a@example.org')")
            conn.rollback()
        with database.transaction() as conn:
            execute(conn, "SELECT pg_notify('another channel', '')")
        assert not woken.is_set()
        with database.transaction() as conn:
            execute(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', 'b@example.org')")
        await woken.wait()
        woken.clear()
        with database.transaction() as conn:
            execute(conn, "UPDATE registrants SET language = 'fr'")
        await woken.wait()
        woken.clear()
        with database.transaction() as conn:
            execute(conn, "DELETE FROM registrants")
        await woken.wait()
    await here.close()
    database.close()


@in_loop
async def test_a_session_that_breaks_is_taken_again_under_the_same_number(
    postgresql_url: str, hasty: None
) -> None:
    database = Database(postgresql_url)
    woken: list[None] = []
    here = Presence(postgresql_url, postgresql_url, lambda: woken.append(None))
    await here.start()
    await until(lambda: holders(database) == [here.holder])
    before = len(woken)
    end_all_sessions(database)
    await until(lambda: len(woken) > before and holders(database) == [here.holder])
    await here.close()
    database.close()


# Who is gone


def name(one: Presence) -> str:
    return claims.name_of(one.holder)


def killed(one: Presence) -> None:
    """It leaves without a word."""
    for task in one._tasks:
        task.cancel()


async def pair(url: str, direct: str = "") -> tuple[Database, Presence, Presence]:
    database, one, other = Database(url), Presence(url, direct or url), Presence(url, direct or url)
    await one.start()
    await other.start()
    if not direct:
        await until(lambda: len(holders(database)) == 2)
    return database, one, other


@in_loop
async def test_each_service_raises_its_counter_and_takes_it_away_when_it_leaves(
    postgresql_url: str, hasty: None
) -> None:
    database, one, other = await pair(postgresql_url)
    before = counters(database)
    await until(lambda: all(counters(database)[one] > counter for one, counter in before.items()))
    await one.close()
    assert counters(database).keys() == {other.holder}
    await other.close()
    database.close()


@in_loop
async def test_a_service_that_was_killed_is_gone_by_its_counter_and_its_lock(
    postgresql_url: str, hasty: None
) -> None:
    database, one, other = await pair(postgresql_url)
    killed(one)
    await until(lambda: name(one) in other.gone)
    assert other.gone == {name(one): counters(database)[one.holder]}
    with database.transaction() as conn:
        claims.end_leases_of_gone(conn, datetime.now(UTC), other.gone)
    assert counters(database).keys() == {other.holder}
    await until(lambda: other.gone == {})
    await other.close()
    database.close()


@pytest.mark.parametrize("times", [4, pytest.param(10, marks=pytest.mark.full)])
@in_loop
async def test_nobody_is_gone_because_the_database_ends_all_sessions_again_and_again(
    postgresql_url: str, hasty: None, times: int
) -> None:
    """All locks are free for a moment, as after a restart; the counters go on."""
    database, one, other = await pair(postgresql_url)
    for _ in range(times):
        end_all_sessions(database)
        for _ in range(5):
            await asyncio.sleep(0.06)
            assert not one.gone
            assert not other.gone
    await one.close()
    await other.close()
    database.close()


@pytest.mark.full  # several seconds of waiting
@in_loop
async def test_without_direct_sessions_who_lives_is_not_gone_and_who_was_killed_is_gone_later(
    postgresql_url: str, hasty: None
) -> None:
    nowhere = f"postgresql+psycopg://127.0.0.1:{free_port()}/nowhere"
    database, one, other = await pair(postgresql_url, nowhere)
    await asyncio.sleep(1.5 * watch.GONE_SECONDS)
    assert not one.gone
    assert not one.trouble
    killed(other)
    at = monotonic()
    await until(lambda: name(other) in one.gone)
    assert monotonic() - at > watch.LEASE_SECONDS - 2 * watch.BEAT_SECONDS, (
        "not by a lock that nobody can have"
    )
    await one.close()
    database.close()


@in_loop
async def test_a_lease_of_an_unknown_service_is_of_one_that_is_gone(postgresql_url: str, hasty: None) -> None:
    ledger = Ledger(database := Database(postgresql_url))
    ledger.govern(webinar())
    ledger.register("a@example.org")
    ledger.plan(utc("2025-06-12 08:00"))
    ledger.sql("UPDATE delivery SET lease_token = :token", token=claims.new_token(77))
    here = Presence(postgresql_url, postgresql_url)
    await here.start()
    await until(lambda: here.gone == {claims.name_of(77): None})
    await here.close()
    database.close()


# Failures of a beat


@in_loop
async def test_a_beat_that_hangs_is_told_and_its_connection_replaced(
    postgresql_url: str, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "HUNG_SECONDS", 0.2)
    database, woken = Database(postgresql_url), asyncio.Event()
    here = Presence(postgresql_url, postgresql_url, woken.set)
    await here.start()
    await until(lambda: not here.trouble)
    with database.transaction() as conn:
        execute(conn, "LOCK TABLE service")
        await until(
            lambda: (
                here.trouble
                == "this service cannot show the others that it is alive: the database does not answer"
            )
        )
        woken.clear()
    await until(lambda: not here.trouble)
    await woken.wait()  # it may go on
    await here.close()
    database.close()


@in_loop
async def test_a_service_that_the_others_have_forgotten_joins_again(postgresql_url: str, hasty: None) -> None:
    set_back: list[None] = []
    database = Database(postgresql_url)
    here = Presence(postgresql_url, postgresql_url, set_back=lambda: set_back.append(None))
    await here.start()
    with database.transaction() as conn:
        execute(conn, "DELETE FROM service")
    await until(lambda: counters(database).keys() == {here.holder})
    assert not set_back
    with database.transaction() as conn:
        execute(conn, "UPDATE service SET counter = counter - 3")
    await until(lambda: len(set_back) == 1)
    await here.close()
    database.close()


@in_loop
async def test_a_fault_of_ours_is_told_and_the_session_goes_on(postgresql_url: str, hasty: None) -> None:
    faults: list[None] = []

    def woken() -> None:
        faults.append(None)
        if len(faults) < 4:
            raise KeyError("a bug")

    here = Presence(postgresql_url, postgresql_url, woken)
    await here.start()
    await until(lambda: any("KeyError" in one.words for one in here.troubles))
    await until(lambda: len(faults) >= 4)
    database = Database(postgresql_url)
    with database.transaction() as conn:
        execute(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', 'b@example.org')")
    count = len(faults)
    await until(lambda: len(faults) > count and not here.trouble)
    await here.close()
    database.close()
