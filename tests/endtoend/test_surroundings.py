"""What a machine does to a service that nobody watches: each trouble is named, and over by itself with its cause."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.endtoend.support import Process, Sql, on_the_real_clock, people, scene, until

pytestmark = pytest.mark.full  # it takes some time
DAY = 86_400
SEQUENCE = """
[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "reminder-day"
before_start = "1h"
"""
CLOCK = Path(__file__).parents[1] / "process_clock"


@contextmanager
def limited(process: Process, what: int, limit: int) -> Iterator[None]:
    """The running process gets no more of this than `limit`."""
    before = resource.prlimit(process.pid, what)
    resource.prlimit(process.pid, what, (limit, before[1]))
    yield
    resource.prlimit(process.pid, what, before)


@on_the_real_clock
async def test_a_clock_that_is_set_sends_nothing_early_and_stops_nothing(tmp_path: Path) -> None:
    shift = tmp_path / "shift"
    shift.write_text("0")
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        here.webinar(sequence=SEQUENCE)
        service = await here.run(PYTHONPATH=str(CLOCK), PROCESS_CLOCK_SHIFT=str(shift))
        await service.ready()
        first, second, third = people(3)
        here.sql.register([first])
        await here.relay.took(1)
        shift.write_text(str(DAY))  # the reminder would be due
        assert "set forward by 1 day" in await service.unready("the system's clock")
        here.sql.register([second])
        await here.relay.took(2)
        shift.write_text(str(-DAY))
        await service.unready("set back by 1 day")
        here.sql.register([third])  # though APScheduler would sleep until tomorrow
        await here.relay.took(3)
        shift.write_text("0")
        await service.ready()
        assert here.relay.counts() == {(person, "confirmation"): 1 for person in people(3)}


@on_the_real_clock
async def test_a_full_disk_and_too_many_open_files(tmp_path: Path) -> None:
    file, log_of_changes = tmp_path / "webinar.db", tmp_path / "webinar.db-wal"
    async with scene(tmp_path, f"sqlite:///{file}") as here:
        here.webinar()
        service = await here.run(SMTP_MAILS_PER_CONNECTION="1")
        await service.ready()
        first, second, third = people(3)
        here.sql.register([first])
        await here.relay.took(1)
        with closing(sqlite3.connect(file)) as reader:  # while it reads, they can only grow
            reader.execute("BEGIN").execute("SELECT count(*) FROM delivery").fetchall()
            here.sql.register([second])
            with limited(service, resource.RLIMIT_FSIZE, log_of_changes.stat().st_size):
                await service.unready("SQLITE_")
        await service.ready()
        await here.relay.took(2)

        with limited(service, resource.RLIMIT_NOFILE, 3):  # what is open stays open; nothing more can be
            here.sql.register([third])
            await until(lambda: "no connection" in service.stderr, "a connection that can't be opened")
        await service.ready()
        await here.relay.took(3)
        await until(lambda: here.sql.states() == {"sent": 3}, "all on record")


@on_the_real_clock
async def test_a_database_that_is_gone_and_clocks_that_disagree(tmp_path: Path, postgresql_url: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(postgresql_url.replace("+psycopg", ""))["dbname"]
    server = Sql(postgresql_url.replace(str(name), "postgres"))
    shift = tmp_path / "shift"
    shift.write_text("0")
    async with scene(tmp_path, postgresql_url) as here:
        here.webinar(start=datetime.now(UTC) + timedelta(days=2))
        service = await here.run(PYTHONPATH=str(CLOCK), PROCESS_CLOCK_SHIFT=str(shift))
        await service.ready()
        with server.autocommit() as conn:
            conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            await service.unready("the database does not answer")
            conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await service.ready()
        first, second = people(2)
        here.sql.register([first])
        await here.relay.took(1)
        service.terminate()
        assert await service.exited() == 0

        shift.write_text("-60")
        service = await here.run(PYTHONPATH=str(CLOCK), PROCESS_CLOCK_SHIFT=str(shift))
        assert "60 s behind" in await service.unready("this machine's clock")
        here.sql.register([second])
        await asyncio.sleep(1)
        await service.unready("this machine's clock")
        assert len(here.relay.arrivals) == 1
