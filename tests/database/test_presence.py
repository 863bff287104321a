"""A service's session of its own, on a real PostgreSQL: seen by others, and woken by what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from scheduler.database import presence
from scheduler.database.engine import Database, dialect, run
from scheduler.database.presence import Presence
from tests.smtp_server import in_loop


def holders(database: Database) -> list[int]:
    with database.transaction() as conn:
        return dialect(conn).holders(conn) or []


def end_all_sessions(database: Database) -> None:
    with database.transaction() as conn:
        run(
            conn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (what the server says, nobody here sets)
            await asyncio.sleep(0.02)


@in_loop
async def test_others_see_that_a_service_is_there_and_when_it_is_gone(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    one, other = Presence(postgresql_url, lambda: None), Presence(postgresql_url, lambda: None)
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
    here = Presence(postgresql_url, woken.set)
    await here.start()
    async with asyncio.timeout(20):
        await woken.wait()  # for what was written before it listened
        woken.clear()
        with database.engine.connect() as conn:
            run(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', 'a@example.org')")
            conn.rollback()
        with database.transaction() as conn:
            run(conn, "SELECT pg_notify('another channel', '')")
        assert not woken.is_set()
        with database.transaction() as conn:
            run(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', 'b@example.org')")
        await woken.wait()
        woken.clear()
        with database.transaction() as conn:
            run(conn, "UPDATE registrants SET language = 'fr'")
        await woken.wait()
        woken.clear()
        with database.transaction() as conn:
            run(conn, "DELETE FROM registrants")
        await woken.wait()
    await here.close()
    database.close()


@in_loop
async def test_a_session_that_breaks_is_taken_again_under_the_same_number(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "RETRY_SECONDS", 0.05)
    database = Database(postgresql_url)
    woken: list[None] = []
    here = Presence(postgresql_url, lambda: woken.append(None))
    await here.start()
    await until(lambda: len(woken) == 1 and holders(database) == [here.holder])
    end_all_sessions(database)
    await until(lambda: len(woken) == 2 and holders(database) == [here.holder])
    await here.close()
    database.close()
