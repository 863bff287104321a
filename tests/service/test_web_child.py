"""Where the editor listens, when it must not, and its process beside the service."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from scheduler.database.engine import Database
from scheduler.metrics import WEB_ENDS, exposition
from scheduler.readiness import Kind
from scheduler.service.web_child import WebChild
from scheduler.settings import SettingsProblems, read_settings
from scheduler.web import process as web_process
from scheduler.web.process import Beats
from scheduler.web_link import BEAT, WebSettings, web_settings, why_editor_off
from tests.endtoend.support import free_port
from tests.support import until

HERE = {"CONFIG_DIR": "config", "TEMPLATES_DIR": "templates"}


@pytest.mark.parametrize(
    ("given", "off"),
    [
        ({}, ""),
        ({"EDITOR_HOST": "localhost"}, ""),
        ({"EDITOR": "off"}, "EDITOR=off"),
        ({"EDITOR_HOST": "0.0.0.0"}, "EDITOR_HOST is not this machine alone"),
        ({"EDITOR_HOST": "192.0.2.7", "PUBLIC_URL": "https://texts.who.int"}, "TRUSTED_PROXIES"),
        ({"PUBLIC_URL": "https://texts.who.int"}, "PUBLIC_URL is set without TRUSTED_PROXIES"),
        (
            {"EDITOR_HOST": "0.0.0.0", "TRUSTED_PROXIES": "10.0.0.0/8"},
            "EDITOR_HOST is not this machine alone",
        ),
        (
            {
                "EDITOR_HOST": "0.0.0.0",
                "PUBLIC_URL": "https://Texts.WHO.int",
                "TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            },
            "",
        ),
    ],
)
def test_it_is_on_for_this_machine_alone_or_behind_a_proxy_with_https(
    given: dict[str, str], off: str
) -> None:
    found = why_editor_off(read_settings(HERE | given))
    assert off in found
    assert bool(off) == bool(found)


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("https://texts.who.int:443", "texts.who.int"),
        ("https://Texts.WHO.int:8443/", "texts.who.int:8443"),
        ("https://téxts.who.int", "xn--txts-bpa.who.int"),
        ("https://[2001:DB8::1]", "[2001:db8::1]"),
    ],
)
def test_the_public_name_is_the_one_that_browsers_send(given: str, host: str) -> None:
    assert read_settings(HERE | {"PUBLIC_URL": given}).public_url == f"https://{host}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "https://texts.who.int:99999"),
        ("PUBLIC_URL", "https://[::1"),
        ("PUBLIC_URL", "https://texts.who.int?x"),
        ("EDITOR", "yes"),
        ("PUBLIC_URL", "http://texts.who.int"),
        ("PUBLIC_URL", "https://texts.who.int/path"),
        ("PUBLIC_URL", "https://user:secret@texts.who.int"),
        ("PUBLIC_URL", "texts.who.int"),
        ("TRUSTED_PROXIES", "10.0.0.0/99"),
        ("TRUSTED_PROXIES", "proxy.who.int"),
        ("EDITOR_PORT", "70000"),
    ],
)
def test_a_mistake_in_its_settings_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsProblems) as raised:
        read_settings(HERE | {name: value})
    (problem,) = raised.value.problems
    assert name in problem.place
    assert problem.allowed


# The process itself


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> WebSettings:
    Database(sqlite_url).close()
    return web_settings(
        read_settings(
            {"DATABASE_URL": sqlite_url, "TEMPLATES_DIR": "templates", "EDITOR_PORT": str(free_port())}
        )
    )


async def _answer(settings: WebSettings) -> int:
    """What /templates says, as soon as anybody listens there."""
    async with asyncio.timeout(30), httpx.AsyncClient() as client:
        while True:
            try:
                return (await client.get(f"http://127.0.0.1:{settings.port}/templates/sign-in")).status_code
            except httpx.TransportError:
                await asyncio.sleep(0.05)


def _processes(parent: int) -> list[int]:
    """Its web processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"PPid:\t{parent}\n" in (folder / "status").read_text():
                found.append(int(folder.name))
    return [one for one in found if b"scheduler.web.process" in Path(f"/proc/{one}/cmdline").read_bytes()]


def _environment(process: int) -> set[str]:
    return {one.partition("=")[0] for one in Path(f"/proc/{process}/environ").read_text().split("\0")}


def test_it_answers_is_started_again_when_it_is_killed_and_ends_with_the_service(
    settings: WebSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "a secret of the relay")

    async def test() -> None:
        child, ended = WebChild(settings), WEB_ENDS.collect()[0].samples[0].value
        child.start()
        try:
            assert await _answer(settings) == 200
            (first,) = _processes(os.getpid())
            assert not {"DATABASE_URL", "SMTP_PASSWORD"} & _environment(first)
            os.kill(first, signal.SIGKILL)
            await until(lambda: child.trouble)
            assert str(child.trouble).startswith("the web process ended (exit -9)")
            assert b"webinar_web_up 0.0" in exposition()
            assert WEB_ENDS.collect()[0].samples[0].value == ended + 1
            assert await _answer(settings) == 200
            await until(lambda: not child.trouble)
            assert b"webinar_web_up 1.0" in exposition()
            assert _processes(os.getpid()) != [first]
        finally:
            await child.stop()
        assert not _processes(os.getpid())

    asyncio.run(test())


@pytest.mark.full  # several seconds of waiting
def test_its_writer_keeps_the_priority_of_the_service(settings: WebSettings) -> None:
    """It holds the lock of SQLite's file while it waits for a processor."""

    async def test() -> None:
        child = WebChild(settings)
        child.start()
        try:
            await _answer(settings)
            (process,) = _processes(os.getpid())
            await until(lambda: _niceness(process) > _niceness(os.getpid()))
            kept = [one for one in _threads(process) if _niceness(one) == _niceness(os.getpid())]
            assert len(kept) == 3, "signs of life, the end with the service, and the writer"
        finally:
            await child.stop()

    asyncio.run(test())


def _threads(process: int) -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{process}/task").iterdir()]


def _niceness(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def test_one_that_hangs_is_killed(settings: WebSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        child = WebChild(settings)
        child.start()
        try:
            assert await _answer(settings) == 200
            monkeypatch.setattr("scheduler.service.web_child.QUIET_SECONDS", 2.0)
            await asyncio.sleep(1.1)  # for the next sign of life: from then on it counts
            (first,) = _processes(os.getpid())
            os.kill(first, signal.SIGSTOP)
            await until(lambda: child.trouble)
            assert "no sign of life" in str(child.trouble)
        finally:
            await child.stop()

    asyncio.run(test())


@pytest.mark.full  # a whole service
def test_when_the_service_is_killed_it_leaves_the_port(settings: WebSettings) -> None:
    script = (
        "import asyncio, pickle, sys; from scheduler.service.web_child import WebChild\n"
        "async def run():\n    WebChild(pickle.load(sys.stdin.buffer)).start(); await asyncio.sleep(60)\n"
        "asyncio.run(run())"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as service:
        assert service.stdin
        service.stdin.write(pickle.dumps(settings))
        service.stdin.close()
        assert asyncio.run(_answer(settings)) == 200
        service.kill()
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_server(("127.0.0.1", settings.port)).close()
        except OSError:
            assert time.monotonic() < end, "an orphan holds the port"
            time.sleep(0.05)
        else:
            break


def test_signs_of_life_come_however_much_the_loop_has_to_do_but_not_from_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_process, "BEAT_SECONDS", 0.01)

    async def test() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            beats = Beats(theirs)
            beats.start()
            for _ in range(20):  # the loop does nothing else meanwhile
                assert ours.recv(1) == BEAT
            monkeypatch.setattr(web_process, "HANGS_SECONDS", 0.0)
            ours.settimeout(0.5)
            with suppress(TimeoutError):
                for _ in range(1000):
                    ours.recv(1)
                pytest.fail("it goes on")

    asyncio.run(test())


@pytest.mark.full  # several seconds of waiting
def test_a_service_that_stood_still_itself_does_not_blame_the_process(
    settings: WebSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine was suspended: the time is over, and signs of life wait to be read."""

    async def test() -> None:
        child = WebChild(settings)
        child.start()
        try:
            assert await _answer(settings) == 200
            (first,) = _processes(os.getpid())
            monkeypatch.setattr("scheduler.service.web_child.QUIET_SECONDS", 1.5)
            await until(lambda: not child.trouble)
            for _ in range(2):
                await asyncio.sleep(0)
                time.sleep(2)  # noqa: ASYNC251 (that is what it is about)
            await asyncio.sleep(0)
            assert (child.trouble, _processes(os.getpid())) == (None, [first])
        finally:
            await child.stop()

    asyncio.run(test())


@pytest.mark.full  # several seconds of waiting
def test_a_port_that_is_taken_is_a_trouble_of_its_own(settings: WebSettings) -> None:
    async def test() -> None:
        child = WebChild(settings)
        with socket.create_server(("127.0.0.1", settings.port)):
            child.start()
            await until(lambda: child.trouble)
        await child.stop()
        port = f"EDITOR_PORT: port {settings.port} on 127.0.0.1 can't be used: another program has it"
        assert str(child.trouble).startswith(f"the web process ended ({port}")
        assert child.trouble
        assert child.trouble.kind is Kind.WEB_PORT

    asyncio.run(test())


@pytest.mark.full  # two processes
def test_it_ends_with_a_service_that_was_killed_with_signs_of_life_unread(settings: WebSettings) -> None:
    """The kernel resets the connection then, instead of closing it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "scheduler.web.process"], stdin=theirs, stderr=subprocess.PIPE
        )
    with ours, process:
        ours.sendall(pickle.dumps(settings))
        assert ours.recv(1, socket.MSG_PEEK), "a sign of life, which stays unread"
        ours.close()
        try:
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 0, said
        assert b"Traceback" not in said
