"""A password of PostgreSQL that is changed while the service runs: the next connection signs in with the new one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from scheduler.database import presence
from scheduler.database.engine import Database
from scheduler.database.presence import Presence
from scheduler.faults import fault
from scheduler.settings import Settings, read_settings
from tests.endtoend.support import free_port
from tests.smtp_server import in_loop

ROLE = "rotating"


@pytest.fixture
def rotate(postgresql_server: psycopg.Connection) -> Iterator[Callable[[str], None]]:
    """Changes the password of a role that has to give it."""
    (path,) = postgresql_server.execute("SHOW hba_file").fetchone() or ("",)
    rules = Path(path).read_text()
    Path(path).write_text(f"local all {ROLE} scram-sha-256\n{rules}")
    postgresql_server.execute("SELECT pg_reload_conf()")
    postgresql_server.execute(f"CREATE ROLE {ROLE} LOGIN SUPERUSER")
    yield lambda password: _set_password(postgresql_server, password)
    postgresql_server.execute(f"DROP ROLE {ROLE}")
    Path(path).write_text(rules)
    postgresql_server.execute("SELECT pg_reload_conf()")


def _set_password(server: psycopg.Connection, password: str) -> None:
    server.execute(f"ALTER ROLE {ROLE} PASSWORD '{password}'")


class Address:
    """DATABASE_URL_FILE."""

    def __init__(self, folder: Path, url: str) -> None:
        self.file, self._url = folder / "url", url

    def write(self, password: str) -> None:
        host = self._url.partition("@")[2]
        self.file.write_text(f"postgresql://{ROLE}:{password}@{host}\n")

    @property
    def settings(self) -> Settings:
        return read_settings({"DATABASE_URL_FILE": str(self.file)})


def test_who_is_not_let_in_is_told_why_without_names(
    tmp_path: Path, postgresql_url: str, rotate: Callable[[str], None]
) -> None:
    rotate("first")
    address = Address(tmp_path, postgresql_url)
    address.write("wrong")
    database = Database(address.settings.address("database_url").url)
    with pytest.raises(OperationalError) as refused, database.reading() as conn:
        conn.execute(text("SELECT 1"))
    assert fault(refused.value) == "OperationalError (authentication failed)"
    database.close()


def test_of_a_server_that_cannot_be_reached_no_name_is_told() -> None:
    database = Database(f"postgresql+psycopg://{ROLE}:secret@127.0.0.1:{free_port()}/people")
    with pytest.raises(OperationalError) as refused, database.reading() as conn:
        conn.execute(text("SELECT 1"))
    assert fault(refused.value) == "OperationalError (connection refused)"
    database.close()


def test_the_next_connection_signs_in_with_what_the_file_holds_then(
    tmp_path: Path, postgresql_url: str, rotate: Callable[[str], None]
) -> None:
    rotate("first")
    address = Address(tmp_path, postgresql_url)
    address.write("first")
    given = address.settings.address("database_url")
    database = Database(given.url, given.now)

    def works() -> bool:
        with database.transaction() as conn:
            return bool(conn.execute(text("SELECT true")).scalar())

    assert works()
    rotate("second")
    assert works(), "the connection that is open"
    database.engine.dispose()
    with pytest.raises(OperationalError) as failure:
        works()
    assert "first" not in str(failure.value)
    address.write("second")
    assert works()
    for spoilt in ("", "no address", "sqlite:///other.db", "postgresql://"):
        database.engine.dispose()
        address.file.write_text(spoilt)
        assert works(), "what it held before is used"
    database.engine.dispose()
    address.file.unlink()
    assert works()
    database.close()


@in_loop
async def test_so_do_the_sessions_by_which_others_know_the_service(
    tmp_path: Path, postgresql_url: str, rotate: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "RETRY_SECONDS", 0.05)
    rotate("second")
    address = Address(tmp_path, postgresql_url)
    address.write("first")
    url, woken = address.settings.address("database_direct_url").now, asyncio.Event()
    here = Presence(url, url, woken.set)
    monkeypatch.setattr(presence, "HUNG_SECONDS", 0.2)
    await here.start()
    assert here.trouble
    monkeypatch.setattr(presence, "HUNG_SECONDS", 5.0)
    address.write("second")
    await woken.wait()
    while here.trouble:  # noqa: ASYNC110 (both sessions wake us)
        await asyncio.sleep(0.01)
    await here.close()
