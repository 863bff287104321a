"""A service pulls beside everything else, and whatever becomes of the child, it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
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
from scheduler.pulling.puller import MOST_AT_ONCE, SLOW, Puller, pulled
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
        self.hanging: set[str] = set()
        self.why = ""

    async def _in_child(self, webinar: Webinar, run: object) -> str:
        self.began.append(webinar.id)
        if webinar.id in self.hanging:
            await asyncio.Event().wait()
        return self.why

    async def ticks(self, *webinars: Webinar) -> None:
        await self.look(governing(*webinars))
        await asyncio.sleep(0)  # those that hang begin
        await self.ended(self.hanging)


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
async def test_a_source_that_hangs_holds_up_no_other(sqlite_url: str) -> None:
    database, now = Database(sqlite_url), clock()
    one = Watched(database, now)
    one.hanging = {"a", "b"}
    webinars = [sourced('path = "a.csv"\nevery = "1d"', id=name) for name in ("a", "b", "c", "d")]
    for _ in range(4):
        await one.ticks(*webinars)
        await one.ticks(*webinars)
        now.move_to(now.now() + SLOW)
    assert one.began == ["a", "b", "c", "d"]
    await one.stop()
    database.close()


@in_loop
async def test_only_so_many_hang_at_once(sqlite_url: str) -> None:
    database, now = Database(sqlite_url), clock()
    one, names = Watched(database, now), [f"w{number}" for number in range(MOST_AT_ONCE + 2)]
    one.hanging = set(names)
    webinars = [sourced('path = "a.csv"', id=name) for name in names]
    for _ in names:
        await one.ticks(*webinars)
        now.move_to(now.now() + SLOW)
    assert one.began == names[:MOST_AT_ONCE]
    await one.stop()
    database.close()


@in_loop
async def test_a_source_that_was_edited_is_read_at_once_and_no_longer_as_it_was(sqlite_url: str) -> None:
    database, now = Database(sqlite_url), clock()
    one = Watched(database, now)
    wrong, right = (sourced(f'path = "{name}.csv"\nevery = "1d"') for name in ("wrong", "right"))
    one.hanging = {"w"}
    await one.ticks(wrong)
    now.move_to(now.now() + timedelta(minutes=1))
    one.hanging = set()
    await one.ticks(right)
    for _ in range(3):
        now.move_to(now.now() + timedelta(minutes=1))
        await one.ticks(right)
    assert one.began == ["w", "w"]
    database.close()


@in_loop
async def test_a_webinar_that_is_cancelled_is_read_no_more(sqlite_url: str) -> None:
    database, now = Database(sqlite_url), clock()
    one = Watched(database, now)
    one.hanging = {"w"}
    await one.ticks(sourced('path = "a.csv"'))
    await one.look(governing(sourced('path = "a.csv"', cancelled=True)))
    await one.ended(set())
    assert one.began == ["w"]
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
    assert bool(pulled(governing(webinar), webinar.end - timedelta(minutes=1))) is follows
    assert not pulled(governing(webinar), webinar.end), "whoever leaves the list now was there"


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
    await one.ended()
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
        await one.ended()
        assert source.standing.trouble == "it was not read within 0.5 s, and the read was ended"
        source.database.close()


@in_loop
async def test_a_child_that_ends_by_itself_is_reported(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Pulled(Database(sqlite_url), 'path = "people.csv"')
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    one = Puller(source.database, clock())
    await one.look(governing(source.webinar))
    await one.ended()
    assert source.standing.trouble == "the process that reads it ended (exit 2)"
    source.database.close()


Children = asyncio.Queue[asyncio.subprocess.Process]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    """Those that are started."""
    start, started = asyncio.create_subprocess_exec, Children()

    async def starting(*arguments: str, **more: object) -> asyncio.subprocess.Process:
        child = await start(*arguments, **more)  # type: ignore[arg-type]
        started.put_nowait(child)
        return child

    monkeypatch.setattr(module.asyncio, "create_subprocess_exec", starting)
    return started


@in_loop
async def test_a_stop_ends_the_child(sqlite_url: str, children: Children) -> None:
    source = Pulled(Database(sqlite_url), 'path = "people.csv"')
    one = Puller(source.database, clock())
    await one.look(governing(source.webinar))
    child = await children.get()
    await one.stop()
    assert child.returncode is not None
    source.database.close()


@in_loop
async def test_a_child_that_somebody_stops_is_ended(
    sqlite_url: str, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a transaction it would keep everybody else from writing to SQLite."""
    monkeypatch.setattr(module, "STOPPED_SECONDS", 0.05)
    source = Pulled(Database(sqlite_url), 'path = "people.csv"')
    one = Puller(source.database, clock())
    await one.look(governing(source.webinar))
    child = await children.get()
    child.send_signal(signal.SIGSTOP)
    await one.ended()
    assert source.standing.trouble == "the process that reads it was suspended (SIGSTOP), and was ended"
    assert child.returncode == -signal.SIGKILL
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
