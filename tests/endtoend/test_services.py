"""Services on one database that come, stand still, go and come back; and a database that goes back itself."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.endtoend.support import Scene, Sql, on_the_real_clock, people, scene, until

MANY = 300  # more than one service claims at a time
BEGUN = "SELECT count(*) FROM delivery WHERE state = 'sending' AND lease_token LIKE %s"


async def names(here: Scene) -> list[str]:
    """Of the services that have joined, in their order."""

    def joined() -> list[str]:
        return [f"{holder:08x}" for (holder,) in here.sql("SELECT holder FROM service ORDER BY started_at")]

    found: list[str] = await until(
        lambda: len(joined()) == len(here.processes) and joined(), "all have joined"
    )
    return found


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_service_that_stood_still_doubles_nothing_but_what_was_in_doubt(
    tmp_path: Path, postgresql_url: str
) -> None:
    """It was stopped with mails on the wire and others claimed. The other service waits, then takes over."""
    async with scene(tmp_path, postgresql_url) as here:
        here.webinar()
        stopped = await here.run(SMTP_CONNECTIONS="2")
        await stopped.ready()
        await names(here)
        other = await here.run(SMTP_CONNECTIONS="2")
        await other.ready()
        name, _ = await names(here)
        here.relay.answering.clear()
        here.sql.register(people(MANY))
        await until(lambda: here.sql(BEGUN, f"{name}%")[0][0] >= 2, "mails on the wire of the first one")
        stopped.send_signal(signal.SIGSTOP)
        ((on_the_wire,),) = here.sql(BEGUN, f"{name}%")
        here.relay.answering.set()
        await until(lambda: here.sql.states() == {"sent": MANY}, "the other has sent everything", within=60)
        assert sum(here.sql.in_doubt().values()) == on_the_wire
        stopped.send_signal(signal.SIGCONT)
        await stopped.ready()
        await other.ready()
        await names(here)
        assert len(here.relay.arrivals) <= MANY + on_the_wire, (
            "what it had only claimed goes out by it no more"
        )
        here.doubled()

        here.sql.register(["late@people.test"])
        await until(lambda: here.sql.states() == {"sent": MANY + 1}, "one more")


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_of_two_tz_databases_the_newest_plans_until_its_service_is_gone(
    tmp_path: Path, postgresql_url: str
) -> None:
    async with scene(tmp_path, postgresql_url) as here:
        here.webinar()
        service = await here.run()
        await service.ready()
        here.sql(
            "INSERT INTO service (holder, counter, tz_version, started_at) VALUES (7, 0, '2999a', now())"
        )
        await service.unready("tz database")
        here.sql.register(people(1))
        for _ in range(8):  # longer than one that stands still is waited for
            here.sql("UPDATE service SET counter = counter + 1 WHERE holder = 7")
            words = await service.unready("tz database")
            await asyncio.sleep(0.5)
        assert words.startswith("this service has tz database 20")
        assert words.endswith(", another one 2999a: it neither plans nor sends")
        assert here.sql.states() == {}
        await until(lambda: here.sql.states() == {"sent": 1}, "it goes on alone")
        await service.ready()
        assert len(await names(here)) == 1


Restore = Callable[[], None]


def kept_on_sqlite(url: str) -> Restore:
    """Take a copy; what is returned puts it back, under the running service."""
    file = url.removeprefix("sqlite:///")

    def copy(source: str, to: str) -> None:
        with (
            closing(sqlite3.connect(source, timeout=30)) as here,
            closing(sqlite3.connect(to, timeout=30)) as there,
        ):
            here.backup(there)

    def restore() -> None:
        for left in reversed(range(40)):  # the service may hold its write lock at the end of the copy
            try:
                copy(f"{file}.kept", file)
                break
            except sqlite3.OperationalError:
                if not left:
                    raise
                time.sleep(0.1)

    copy(file, f"{file}.kept")
    return restore


def kept_on_postgresql(url: str) -> Restore:
    """The standby that lags: a copy, which takes the database's place later."""
    name = str(psycopg.conninfo.conninfo_to_dict(url.replace("+psycopg", ""))["dbname"])
    server = Sql(url.replace(name, "postgres"))

    def alone(*statements: str) -> None:
        with server.autocommit() as conn:
            conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            for statement in statements:
                conn.execute(statement)
            conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    alone(f"CREATE DATABASE {name}_kept TEMPLATE {name} STRATEGY file_copy")
    return lambda: alone(
        f"ALTER DATABASE {name} RENAME TO {name}_lost", f"ALTER DATABASE {name}_kept RENAME TO {name}"
    )


@pytest.mark.full  # tests/delivery/test_handover.py and tests/test_service.py have its parts
@on_the_real_clock
async def test_a_database_that_goes_back_to_an_earlier_state_sends_nothing_twice(
    tmp_path: Path, database_url: str
) -> None:
    """With mails that are on record no more, of people who had just registered."""
    keep = kept_on_postgresql if database_url.startswith("postgresql") else kept_on_sqlite
    async with scene(tmp_path, database_url) as here:
        here.webinar()
        service = await here.run()
        await service.ready()
        before, between, after = ([f"{kind}@people.test"] for kind in "abc")
        here.sql.register(before)
        await until(lambda: here.sql.states() == {"sent": 1}, "on record")
        with here.sql.nobody_writes():
            service.send_signal(signal.SIGSTOP)
        here.sql.register(between)
        restore = keep(database_url)
        service.send_signal(signal.SIGCONT)
        await until(lambda: here.sql.states() == {"sent": 2}, "all on record")
        restore()

        await service.noted("are held until somebody decides (1)")
        assert here.sql.states() == {"sent": 1, "held": 1}
        assert here.sql("SELECT reason FROM delivery WHERE state = 'held'") == [("restored",)]
        await until(
            lambda: any("ledger restored" in subject for subject in here.relay.told), "the organizer knows"
        )
        here.sql.register(after)
        await until(lambda: here.sql.states() == {"sent": 2, "held": 1}, "life goes on")
        confirmed = {to: number for (to, message), number in here.relay.counts().items() if message}
        assert confirmed == dict.fromkeys([*before, *between, *after], 1)
        await service.ready()
        await service.noted("are held until somebody decides (1)")
