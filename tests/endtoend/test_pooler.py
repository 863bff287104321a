"""Two replicas behind a real PgBouncer in transaction mode: every transaction may be another session's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.endtoend.support import Sql, free_port, on_the_real_clock, people, scene, until

pytestmark = pytest.mark.full

CONFIG = """
[databases]
{name} = host={host} {port} dbname={name} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
pidfile = {folder}/pid
"""


@contextmanager
def pooler(url: str, listen: int = 0) -> Iterator[str]:
    """PgBouncer as Debian packages it, before this database, at this port or a free one; gives the address through
    it."""
    with pooler_process(url, listen) as (through, _):
        yield through


@contextmanager
def pooler_process(url: str, listen: int = 0) -> Iterator[tuple[str, int]]:
    """The same, with the number of its process."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if not program:
        pytest.fail("NOT RUN: needs PgBouncer (apt-get install pgbouncer)", pytrace=False)
    direct, listen = make_url(url), listen or free_port()
    host = str(direct.query.get("host") or direct.host)
    folder = Path(tempfile.mkdtemp(prefix="pooler-"))
    folder.chmod(0o777)
    port = f"port={direct.port}" if direct.port else ""
    (folder / "ini").write_text(
        CONFIG.format(name=direct.database, host=host, port=port, listen=listen, folder=folder)
    )
    # It refuses to be root; whose socket it is may open it.
    user = ["-u", Path(host).owner()] if os.geteuid() == 0 else []
    with subprocess.Popen([program, "-q", *user, folder / "ini"]) as process:
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{listen}/{direct.database}", process.pid
        finally:
            process.terminate()
    shutil.rmtree(folder, ignore_errors=True)


@on_the_real_clock
async def test_two_replicas_behind_a_pooler_send_each_mail_once(tmp_path: Path, postgresql_url: str) -> None:
    with pooler(postgresql_url) as through:
        async with scene(tmp_path, postgresql_url) as here:
            here.webinar()
            environment = {
                "DATABASE_URL": through,
                "DATABASE_DIRECT_URL": postgresql_url,
                "SMTP_PER_MINUTE": "3000",
            }
            one, other = await here.run(**environment), await here.run(**environment)
            await one.ready()
            await other.ready()
            assert _sessions(through) >= 1
            here.sql.register(people(300))
            await until(lambda: here.sql.states() == {"sent": 300}, "all of them")
            assert here.relay.counts() == {(to, "confirmation"): 1 for to in people(300)}
            here.sql.register(["late@example.com"])  # NOTIFY comes over the direct connection
            await until(lambda: here.sql.states() == {"sent": 301}, "the one that came later", within=5)


@contextmanager
def refusing(url: str, pid: int) -> Iterator[None]:
    """The database lets nobody in: the pooler answers with errors of its own."""
    name = make_url(url).database
    server = Sql(url.replace(str(name), "postgres"))
    with server.autocommit() as conn:
        conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@contextmanager
def hanging(url: str, pid: int) -> Iterator[None]:
    """The pooler stands still: nobody refuses anything."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("cut_off", [refusing, hanging])
@on_the_real_clock
async def test_a_service_that_is_cut_off_from_its_ledger_says_so_and_nothing_of_the_relay(
    tmp_path: Path, postgresql_url: str, cut_off: Callable[[str, int], AbstractContextManager[None]]
) -> None:
    """With mails on the wire, whose outcomes pile up."""
    with pooler_process(postgresql_url) as (through, pid):
        async with scene(tmp_path, postgresql_url) as here:
            here.webinar()
            service = await here.run(DATABASE_URL=through, DATABASE_DIRECT_URL=postgresql_url)
            await service.ready()
            here.relay.answering.clear()
            here.sql.register(people(20))
            await until(lambda: here.relay.unanswered, "mails on the wire")
            with cut_off(postgresql_url, pid):
                here.relay.answering.set()
                await service.unready("this service cannot show the others that it is alive: ")
                await service.unready("the ledger can't be written: ")
                _, found = await service.get("/readyz")
                assert not any("the relay" in one for one in found["reasons"])
                await until(lambda: "ledger not written" in service.stderr, "the log says so")
                await until(lambda: "session broken" in service.stderr, "the log says so")
            await until(lambda: here.sql.states() == {"sent": 20}, "all of them", within=60)
            await service.ready()
            here.doubled()


def _sessions(through: str) -> int:
    """How many sessions of the database the pooler holds: proof that it is in between."""
    with psycopg.connect(through.replace("+psycopg", "")) as conn:
        row = conn.execute("SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NULL").fetchone()
    return int(row[0]) if row else 0
