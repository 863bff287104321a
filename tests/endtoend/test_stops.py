"""How a service begins and ends: signals, a database that does not answer, and what it could not write any more."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.endtoend.support import Process, Scene, Sql, free_port, on_the_real_clock, people, scene, until
from tests.smtp_server import HOST


@contextmanager
def away(url: str) -> Iterator[None]:
    """Nobody can write to this database: another program holds its lock, or it lets nobody in."""
    if not url.startswith("postgresql"):
        file = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    name = str(psycopg.conninfo.conninfo_to_dict(url.replace("+psycopg", ""))["dbname"])
    with Sql(url.replace(name, "postgres")).autocommit() as conn:
        conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def spools(here: Scene, kind: str = "spool-*") -> list[Path]:
    return sorted((here.folder / "data").glob(kind))


async def with_two_on_the_wire(here: Scene, **environment: str) -> Process:
    """A service that has sent two mails, whose replies are kept back."""
    here.webinar()
    service = await here.run(**{"SMTP_CONNECTIONS": "2", "DRAIN_SECONDS": "1"} | environment)
    await service.ready()
    here.relay.answering.clear()
    here.sql.register(people(6))
    await until(lambda: here.relay.unanswered == 2, "two mails on the wire")
    return service


async def stopped_without_its_database(here: Scene) -> Process:
    """A service that has ended and could not write what the relay had said."""
    service = await with_two_on_the_wire(here)
    with away(here.sql.url):
        here.relay.answering.set()
        await until(lambda: here.relay.unanswered == 0, "answered")
        service.terminate()
        assert await service.exited() == 0
    return service


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_what_cannot_be_written_at_the_stop_is_recorded_at_the_next_start(
    tmp_path: Path, database_url: str
) -> None:
    async with scene(tmp_path, database_url) as here:
        service = await stopped_without_its_database(here)
        (spool,) = spools(here)
        assert "outcomes kept for the next start" in service.stderr
        assert "people.test" not in spool.read_text(), "no addresses"
        assert spool.stat().st_mode & 0o777 == 0o600
        assert here.sql.states()["sending"] == 2

        again = await here.run()
        await until(lambda: here.sql.states() == {"sent": 6}, "everything")
        assert here.relay.counts() == {(to, "confirmation"): 1 for to in people(6)}
        assert here.sql.in_doubt() == {}
        assert spools(here) == []
        await again.ready()


@pytest.mark.full  # three starts; tests/delivery/test_handover.py has every moment
@on_the_real_clock
async def test_a_spool_is_applied_once_though_its_reader_is_killed(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path / 'webinar.db'}") as here:
        await stopped_without_its_database(here)
        reader = await here.run()
        await until(lambda: '"spool"' in reader.stderr, "reading it")
        await reader.kill()
        await here.run()
        await until(lambda: here.sql.states() == {"sent": 6}, "everything")
        assert here.relay.counts().keys() == {(to, "confirmation") for to in people(6)}
        here.doubled()


@pytest.mark.full  # of what tests/delivery/test_handover.py shows piece by piece
@on_the_real_clock
async def test_a_spool_of_another_database_is_kept_aside_and_named(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path / 'webinar.db'}") as here:
        await stopped_without_its_database(here)
        other = Sql(f"sqlite:///{tmp_path / 'other.db'}")
        service = await here.run(DATABASE_URL=other.url)
        assert await service.exited() == 2
        assert "is another database's: that one was in use until" in service.stderr
        assert (await here.command("restored", "--new", DATABASE_URL=other.url))[0] == 0
        service = await here.run(DATABASE_URL=other.url)
        words = await service.noted("aside-spool-")
        assert words.endswith("in STATE_DIR has outcomes of mails that do not belong to this database")
        assert len(spools(here, "aside-spool-*")) == 1


def sessions(here: Scene, of: str = "%") -> list[int]:
    """The server's processes for those who are connected now, by the names that they gave themselves."""
    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND application_name LIKE %s"
    )
    return [pid for (pid,) in here.sql(query, of)]


async def ends_while_these_stand_still(here: Scene, service: Process, pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        here.relay.answering.set()
        await until(lambda: here.relay.unanswered == 0, "answered")
        service.terminate()
        assert await service.exited() == 0
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_what_one_could_not_write_another_that_shares_the_folder_records(
    tmp_path: Path, postgresql_url: str
) -> None:
    """Long before it takes the first one for gone, which would leave both mails in doubt, to be sent again."""
    async with scene(tmp_path, postgresql_url) as here:
        its_url = f"{postgresql_url}&application_name=cut-off"
        cut_off = await with_two_on_the_wire(here, DATABASE_URL=its_url, PYTHONPATH="")
        other = await here.run(PYTHONPATH="")
        await other.ready()
        await ends_while_these_stand_still(here, cut_off, sessions(here, "cut-off"))
        await until(lambda: here.sql.states() == {"sent": 6}, "everything", within=60)
        assert "outcomes kept for the next start" in cut_off.stderr
        await until(lambda: '"spool"' in other.stderr, "the log says where they came from")
        assert here.relay.counts() == {(to, "confirmation"): 1 for to in people(6)}
        assert here.sql.in_doubt() == {}
        await until(lambda: spools(here) == [], "put away")


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_service_ends_in_time_though_its_database_hangs(tmp_path: Path, postgresql_url: str) -> None:
    """Its sessions stand still, and nothing says so."""
    async with scene(tmp_path, postgresql_url) as here:
        service = await with_two_on_the_wire(here)
        await ends_while_these_stand_still(here, service, sessions(here))
        assert len(spools(here)) == 1
        await here.run()
        await until(lambda: here.sql.states() == {"sent": 6}, "everything", within=60)
        assert here.relay.counts() == {(to, "confirmation"): 1 for to in people(6)}


# Signals


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_sighup_reads_again_and_never_kills(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path / 'webinar.db'}") as here:
        here.webinar()
        service = await here.run()
        await until(lambda: '"reloading"' in service.stderr or hang_up(service), "the first one is taken")
        await service.ready()
        service.send_signal(signal.SIGHUP)
        here.sql.register(people(1))
        await here.relay.took(1)
        service.terminate()
        assert await service.exited() == 0


def hang_up(service: Process) -> None:
    """Not before Python has come as far as to take signals."""
    if "alembic" in service.stderr or service.stderr:
        service.send_signal(signal.SIGHUP)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals, code: int) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path / 'webinar.db'}") as here:
        service = await with_two_on_the_wire(here, DRAIN_SECONDS="600")
        service.send_signal(number)
        await until(lambda: '"stopping"' in service.stderr, "stopping")
        service.send_signal(number)
        assert await service.exited() == code


# A database that does not answer at the start


@contextmanager
def silent_server() -> Iterator[str]:
    """It takes connections, and says nothing."""
    with socket.create_server((HOST, 0)) as server:
        yield f"postgresql://webinar:secret@{HOST}:{server.getsockname()[1]}/webinar"


@pytest.mark.full  # a start of a whole service
@on_the_real_clock
async def test_a_signal_while_it_waits_for_the_database_ends_it(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path / 'webinar.db'}") as here:
        with silent_server() as url:
            service = await here.run(DATABASE_URL=url)
            await service.unready("starting")
            service.terminate()
            assert await service.exited() == 0
            assert "stopped before it had started" in service.stderr
            assert "secret" not in service.stderr


@asynccontextmanager
async def forwarded(port: int, url: str) -> AsyncIterator[None]:
    """On this port of this machine the server of a database behind a socket answers."""
    path = f"{make_url(url).query['host']}/.s.PGSQL.5432"

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_unix_connection(path)
        await asyncio.gather(copy(reader, there[1]), copy(there[0], writer), return_exceptions=True)

    async with await asyncio.start_server(connected, HOST, port):
        yield


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_database_that_comes_up_later_is_waited_for(tmp_path: Path, postgresql_url: str) -> None:
    async with scene(tmp_path, postgresql_url) as here:
        here.webinar()
        port = free_port()
        name = make_url(postgresql_url).database
        service = await here.run(DATABASE_URL=f"postgresql://postgres@{HOST}:{port}/{name}")
        await service.unready(
            "starting: the database does not answer yet, and is waited for up to 60 seconds"
        )
        async with forwarded(port, postgresql_url):
            await service.ready()
            told = [one for one in service.events if one["event"] == "the database does not answer yet"]
            assert len(told) == 1, "once"
            service.terminate()
            assert await service.exited() == 0


@pytest.mark.full  # a whole process
@on_the_real_clock
async def test_a_database_that_is_not_there_ends_the_start_at_once(
    tmp_path: Path, postgresql_url: str
) -> None:
    async with scene(tmp_path, postgresql_url) as here:
        name = str(make_url(postgresql_url).database)
        service = await here.run(DATABASE_URL=postgresql_url.replace(name, "nobody_made_this"))
        assert await service.exited() == 2
        assert "the database can't be used" in service.stderr
        assert "waited for" not in service.stderr
