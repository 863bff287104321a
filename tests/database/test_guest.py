"""A process beside the service: it never keeps sending waiting for long."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, text

from scheduler.database.engine import Database


def test_on_sqlite_it_waits_for_no_disk_and_pauses_between_its_writes(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("scheduler.database.engine.time.sleep", pauses.append)
    service, guest = Database(sqlite_url), Database(sqlite_url, guest=True)

    def synchronous(conn: Connection) -> int:
        return int(conn.execute(text("PRAGMA synchronous")).scalar_one())

    assert (service.in_transaction(synchronous), pauses) == (2, []), (
        "FULL: what it says is sent is on the disk"
    )
    assert (guest.in_transaction(synchronous), pauses) == (1, [0.05])
    with guest.reading() as conn:
        assert conn.execute(text("PRAGMA wal_autocheckpoint")).scalar_one() == 0
    service.close()
    guest.close()


def test_its_reads_do_not_wait_for_its_writes(database_url: str) -> None:
    guest = Database(database_url, guest=True)

    async def both() -> None:
        writing = asyncio.Event()
        read = asyncio.Event()
        loop = asyncio.get_running_loop()

        def write(conn: Connection) -> None:
            conn.execute(text("INSERT INTO suppression (address_folded, since) VALUES ('a', '2025-01-01')"))
            loop.call_soon_threadsafe(writing.set)
            asyncio.run_coroutine_threadsafe(read.wait(), loop).result(20)

        task = asyncio.create_task(guest.run(write))
        await writing.wait()
        found = await guest.run_reading(lambda conn: conn.execute(text("SELECT 1 FROM suppression")).all())
        assert found == [], "and they see what was there before"
        read.set()
        await task

    asyncio.run(both())
    guest.close()
