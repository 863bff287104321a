"""Two replicas behind a real PgBouncer in transaction mode: every transaction may be another session's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.endtoend.support import free_port, on_the_real_clock, people, scene, until

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
            yield f"postgresql+psycopg://postgres@127.0.0.1:{listen}/{direct.database}"
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


def _sessions(through: str) -> int:
    """How many sessions of the database the pooler holds: proof that it is in between."""
    with psycopg.connect(through.replace("+psycopg", "")) as conn:
        row = conn.execute("SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NULL").fetchone()
    return int(row[0]) if row else 0
