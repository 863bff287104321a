"""A service pulls beside everything else, and whatever becomes of the child, it goes on."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler import alerts
from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.ledger.planning import Governing
from scheduler.pulling import puller as module
from scheduler.pulling.process import environment_for
from scheduler.pulling.puller import Puller, pulled
from scheduler.readiness import Kind, Reason
from scheduler.webinar.model import Webinar, read_webinar
from tests.pulling.scene import ANA, NOW, Pulled, rows, sourced
from tests.smtp_server import HOST, in_loop
from tests.support import SEQUENCE, toml


def governing(*webinars: Webinar) -> Mapping[str, Governing]:
    return {one.id: Governing(one, 1, 1, "") for one in webinars}


def clock() -> VirtualClock:
    return VirtualClock(NOW)


class Watched(Puller):
    """Does in the child's place what a test says."""

    def __init__(self, database: Database, clock_: VirtualClock) -> None:
        super().__init__(database, clock_)
        self.began: list[str] = []
        self.why = ""

    async def _in_child(self, webinar: Webinar, run: object) -> str:
        self.began.append(webinar.id)
        return self.why

    async def ticks(self, *webinars: Webinar) -> None:
        await self.look(governing(*webinars))
        if self._pulling:
            await self._pulling


@in_loop
async def test_each_source_is_read_when_it_is_due_one_at_a_time(sqlite_url: str) -> None:
    database, now = Database(sqlite_url), clock()
    one = Watched(database, now)
    often = sourced('path = "a.csv"\nevery = "1m"', id="often")
    seldom = sourced('path = "a.csv"\nevery = "5m"', id="seldom")
    for _ in range(11):
        for _ in range(3):
            await one.ticks(often, seldom)
        now.move_to(now.now() + timedelta(minutes=1))
    assert (one.began.count("often"), one.began.count("seldom")) == (11, 3)
    database.close()


@in_loop
async def test_a_clock_that_was_years_ahead_keeps_no_source_from_being_read(sqlite_url: str) -> None:
    database, now = Database(sqlite_url), clock()
    webinar = sourced('path = "a.csv"')
    now.move_to(now.now() + timedelta(days=4000))
    await Watched(database, now).ticks(webinar)
    one = Watched(database, clock())
    for _ in range(3):
        await one.ticks(webinar)
    assert one.began == ["w"]
    database.close()


@pytest.mark.parametrize(
    ("webinar", "follows"),
    [
        (sourced('path = "a.csv"'), True),
        (sourced('path = "a.csv"', status="draft"), False),
        (sourced('path = "a.csv"', status="ended"), False),
        (sourced('path = "a.csv"', cancelled=True), False),
    ],
)
def test_which_webinars_are_followed(webinar: Webinar, follows: bool) -> None:
    assert bool(pulled(governing(webinar))) is follows


@in_loop
async def test_organizers_are_told_from_the_second_time_on_and_when_it_is_over(sqlite_url: str) -> None:
    database, now = Database(sqlite_url), clock()
    one, webinar = Watched(database, now), sourced('path = "a.csv"')

    def told() -> list[str]:
        with database.reading() as conn:
            return [standing.words for standing in alerts.open_alerts(conn)]

    one.why, seen = "no such file", list[bool]()
    for why in ("no such file", "no such file", "no such file"):
        one.why = why
        await one.ticks(webinar)
        await one.ticks(webinar)
        seen.append(bool(told()))
        now.move_to(now.now() + timedelta(minutes=5))
    assert seen == [False, True, True]
    assert told()[0].startswith("The source of w is not followed: no such file\n\n")
    assert one.notes == (Reason(Kind.SOURCE, "the source of w: no such file, since 2025-06-12 08:00 UTC"),)
    database.in_transaction(lambda conn: conn.exec_driver_sql("UPDATE source SET trouble = ''"))
    one.why = ""
    now.move_to(now.now() + timedelta(minutes=1))
    await one.ticks(webinar)
    assert (told(), one.notes) == ([], ())
    database.close()


@in_loop
async def test_the_child_reads_and_writes(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Pulled(Database(sqlite_url), 'path = "people.csv"', tmp_path)
    file = toml(f'{SEQUENCE}\n[source]\npath = "people.csv"\n')
    source.ledger.govern(read_webinar(file, "w.toml"))
    source.ledger.sql("UPDATE webinar_revision SET source = :file", file=file)
    (tmp_path / "people.csv").write_text(rows(f"{ANA},Ana"))
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("SOURCES_DIR", str(tmp_path))
    one = Puller(source.database, clock())
    await one.look(governing(source.webinar))
    assert one._pulling
    await one._pulling
    assert source.standing.words == ()
    assert source.people == {ANA: "Ana"}
    source.database.close()


@in_loop
async def test_a_source_that_hangs_is_given_up(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as silent:
        address = f"https://{HOST}:{silent.getsockname()[1]}/people.csv?token=hush"
        source = Pulled(Database(sqlite_url), 'from = "crm"')
        file = toml(f'{SEQUENCE}\n[source]\nfrom = "crm"\n')
        source.ledger.govern(read_webinar(file, "w.toml"))
        source.ledger.sql("UPDATE webinar_revision SET source = :file", file=file)
        monkeypatch.setenv("DATABASE_URL", sqlite_url)
        monkeypatch.setenv("SOURCE_CRM", address)
        one = Puller(source.database, clock(), patience=0.5)
        await one.look(governing(source.webinar))
        assert one._pulling
        await one._pulling
        assert source.standing.trouble == "it was not read within 0.5 s, and was given up"
        source.database.close()


@in_loop
async def test_a_child_that_ends_by_itself_is_reported(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Pulled(Database(sqlite_url), 'path = "people.csv"')
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    one = Puller(source.database, clock())
    await one.look(governing(source.webinar))
    assert one._pulling
    await one._pulling
    assert source.standing.trouble == "the process that reads it ended (exit 2)"
    source.database.close()


@in_loop
async def test_a_stop_ends_the_child(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Pulled(Database(sqlite_url), 'path = "people.csv"')
    children: list[asyncio.subprocess.Process] = []
    start, began = asyncio.create_subprocess_exec, asyncio.Event()

    async def started(*arguments: str, **more: object) -> asyncio.subprocess.Process:
        children.append(await start(*arguments, **more))  # type: ignore[arg-type]
        began.set()
        return children[-1]

    monkeypatch.setattr(module.asyncio, "create_subprocess_exec", started)
    one = Puller(source.database, clock())
    await one.look(governing(source.webinar))
    await began.wait()
    await one.stop()
    assert children[0].returncode is not None
    source.database.close()


def test_the_childs_environment_holds_what_it_needs() -> None:
    source = sourced('from = "crm"\ntable = "t"').source
    assert source
    environ = dict.fromkeys(
        (
            "PATH", "PYTHONPATH", "DATABASE_URL", "DATABASE_URL_FILE", "SOURCE_CRM", "SOURCE_CRM_FILE", "SOURCE_OTHER",
            "SMTP_PASSWORD", "SMTP_PASSWORD_FILE", "SOURCES_DIR", "SSL_CERT_FILE", "AWS_SECRET_ACCESS_KEY",
        ),
        "x",
    )  # fmt: skip
    assert set(environment_for(source, environ)) == {
        "PATH", "PYTHONPATH", "DATABASE_URL", "DATABASE_URL_FILE", "SOURCE_CRM", "SOURCE_CRM_FILE", "SOURCES_DIR",
        "SSL_CERT_FILE",
    }  # fmt: skip
    assert os.environ.get("PATH")
