"""What the service manager is notified of, read from a real socket in its place."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from scheduler.child_process import child_environment
from scheduler.service import systemd
from tests.endtoend.support import on_the_real_clock, people, scene, until

SOON = 5.0  # seconds, for what comes in a few milliseconds


class Manager:
    """A service manager's socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def next(self, within: float = SOON) -> str:
        """Raises TimeoutError."""
        self._socket.settimeout(within)
        return self._socket.recv(4096).decode()

    def all(self) -> list[str]:
        """What has come until now."""
        self._socket.setblocking(False)
        found = []
        try:
            while True:
                found.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["a path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Manager]:
    name = f"@{uuid.uuid4().hex}" if request.param == "abstract" else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with closing(Manager(name)) as there:
        yield there


def test_it_learns_of_the_start_and_of_signs_of_life(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")

    async def story() -> None:
        systemd.started()
        for expected in ("READY=1", "WATCHDOG=1", "WATCHDOG=1"):
            assert await asyncio.to_thread(manager.next) == expected

    asyncio.run(story())


def test_a_loop_that_hangs_gives_no_sign_of_life(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")

    async def story() -> None:
        systemd.started()
        await asyncio.to_thread(manager.next)
        manager.all()
        with pytest.raises(TimeoutError):  # asked in the loop itself, which hangs meanwhile
            manager.next(within=0.1)
        await asyncio.to_thread(manager.next)

    asyncio.run(story())


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000", "WATCHDOG_PID": "1"},
    ],
)
def test_it_gets_no_signs_of_life_that_it_did_not_ask_this_process_for(
    manager: Manager, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    async def story() -> None:
        systemd.started()
        assert await asyncio.to_thread(manager.next) == "READY=1"
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(manager.next, 0.1)

    asyncio.run(story())


def test_it_learns_when_a_reload_begins_and_ends_even_badly(manager: Manager) -> None:
    @systemd.reloading()
    def reload() -> None:
        assert len(manager.all()) == 1
        raise LookupError

    for _ in range(2):  # a decorator is used again and again
        began = time.monotonic_ns() // 1000
        with pytest.raises(LookupError):
            reload()
        assert manager.next() == "READY=1"
    with systemd.reloading():
        state, stamp = manager.next().split("\n")
    assert state == "RELOADING=1"
    name, _, microseconds = stamp.partition("=")
    assert name == "MONOTONIC_USEC"
    assert began <= int(microseconds) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "relative", "/nowhere/notify", "@nobody-listens-here"])
def test_without_a_manager_that_listens_nothing_happens(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with capture_logs() as lines:
        systemd.stopping()
    assert [one["state"] for one in lines] == (["STOPPING"] if name[:1] in ("/", "@") else [])


def test_a_manager_that_takes_nothing_holds_up_no_sign_of_life(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "SEND_SECONDS", 0.01)
    with capture_logs() as lines:
        while not lines:  # until its queue is full
            systemd.stopping()
        systemd._send("WATCHDOG=1", waits=False)
    assert [one["log_level"] for one in lines] == ["warning", "debug"]


def test_processes_that_the_service_starts_know_no_manager(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & child_environment().keys()


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_service_whose_database_does_not_answer_is_left_alone(tmp_path: Path) -> None:
    """Restarted, it would wait for the same database again, and lose what it has in memory."""
    address = str(tmp_path / "notify")
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        here.webinar()
        with closing(Manager(address)) as manager:
            service = await here.run(NOTIFY_SOCKET=address, WATCHDOG_USEC="300000")
            assert await asyncio.to_thread(manager.next, 30) == "READY=1"
            await service.ready()
            with closing(sqlite3.connect(tmp_path / "webinar.db", isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                manager.all()
                for _ in range(10):  # a whole second: the service must write by now, and waits
                    assert await asyncio.to_thread(manager.next, 0.3) == "WATCHDOG=1"
                other.execute("ROLLBACK")
            here.sql.register(people(1))
            await until(lambda: here.relay.of("confirmation"), "it goes on")
            service.terminate()
            await service.exited()
            assert "STOPPING=1" in manager.all()
