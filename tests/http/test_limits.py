"""What a listener gives to hostile or slow clients, over real sockets."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from scheduler.http import limits, server
from scheduler.http.limits import Connection, Limits
from scheduler.http.server import WebServer
from tests.support import until

SHORT = Limits(connections=4, per_second=1000, first_byte=0.2, head=0.2, body=0.2, whole=0.3, per_network=4)
LONG = Limits(connections=4, per_second=1000, first_byte=60, head=60, body=60, whole=60, per_network=4)
ASK = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: here\r\n\r\n"
HALF = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\na"
SOON = 10.0  # seconds for what comes at once on an idle machine


class Served:
    """A server, and whoever connects to it."""

    def __init__(self, given: Limits, proxies: Sequence[str]) -> None:
        self.server = WebServer(self._app, "127.0.0.1", 0, proxies, limits=given)
        self.go = asyncio.Event()
        """Until then nobody who asks for /wait is answered."""
        self.clients: list[Client] = []

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = b"" if request.url.path == "/unread" else await request.body()
        if request.url.path == "/wait":
            await self.go.wait()
        words = "x" * 5_000_000 if request.url.path == "/large" else f"{len(body)} bytes"
        await PlainTextResponse(words)(scope, receive, send)

    @property
    def open(self) -> list[Connection]:
        return list(self.server._open)

    async def client(self, sent: bytes = b"", computer: str = "127.0.0.1") -> Client:
        here = (computer, 0)
        streams = await asyncio.open_connection("127.0.0.1", self.server.port, local_addr=here)
        self.clients.append(Client(*streams))
        self.clients[-1].writer.write(sent)
        return self.clients[-1]

    async def asking(self, many: int) -> None:
        """Wait until so many wait for an answer."""
        await until(lambda: sum(one.is_asking for one in self.open) == many)


@asynccontextmanager
async def serving(given: Limits, proxies: Sequence[str] = ()) -> AsyncIterator[Served]:
    served = Served(given, proxies)
    await served.server.start()
    try:
        yield served
    finally:
        served.go.set()
        await served.server.stop()
        for one in served.clients:
            one.writer.close()
            with suppress(ConnectionError):
                await one.writer.wait_closed()


@dataclass
class Client:
    """A connection that does what a browser would not."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes = ASK) -> bytes:
        self.writer.write(request)
        async with asyncio.timeout(SOON):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + await self.reader.readexactly(length)

    async def is_cut_off(self) -> bool:
        try:
            async with asyncio.timeout(SOON):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_silent_connections_give_way_to_whoever_asks() -> None:
    async def test() -> None:
        async with serving(LONG) as served:
            silent = [await served.client() for _ in range(60)]
            asking = await served.client()
            assert b"200 OK" in await asking.ask()
            assert len(served.open) <= LONG.connections
            assert await silent[0].is_cut_off()

    run(test)


def test_who_waits_for_an_answer_is_not_cut_off_for_a_newcomer() -> None:
    async def test() -> None:
        async with serving(LONG) as served:
            began = [await served.client(WAIT) for _ in range(LONG.connections)]
            await served.asking(LONG.connections)
            newcomer = await served.client(ASK)
            served.go.set()
            for one in began:
                assert b"0 bytes" in await one.ask(b"")
                one.writer.close()
            assert b"200 OK" in await newcomer.ask(b"")

    run(test)


@pytest.mark.parametrize("more", [0, 90_000])
def test_bodies_that_do_not_come_give_way_to_whoever_asks(
    more: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with serving(LONG) as served:
            slow = [await served.client(HALF + b"a" * more) for _ in range(LONG.connections)]
            assert b"200 OK" in await (await served.client()).ask()
            assert await slow[0].is_cut_off()
            for one in slow:
                one.writer.close()

    run(test)
    assert caplog.records == [], "that a client goes is no error"


def test_a_large_body_over_a_slow_line_is_taken_while_it_comes() -> None:
    """Longer than a body may take that does not."""

    async def test() -> None:
        async with serving(replace(LONG, body=0.5)) as served:
            client = await served.client(HALF)
            loop = asyncio.get_running_loop()
            began, sent = loop.time(), 1
            while loop.time() - began < 1:
                client.writer.write(b"a" * 5000)
                sent += 5000
                await asyncio.sleep(0.1)
            assert b"100000 bytes" in await client.ask(b"a" * (100_000 - sent))

    run(test)


def test_one_network_has_its_share_of_the_connections_and_its_silent_ones_give_way() -> None:
    async def test() -> None:
        async with serving(replace(LONG, per_network=2)) as served:
            silent, waiting = await served.client(), await served.client(WAIT)
            await served.asking(1)
            others = await served.client(WAIT, computer="127.0.0.2")
            await served.client(WAIT)
            assert await silent.is_cut_off()
            await served.asking(3)
            refused = await served.client(ASK)
            assert await refused.is_cut_off()
            served.go.set()
            for one in (waiting, others):
                assert b"200 OK" in await one.ask(b"")

    run(test)


def test_a_proxy_brings_as_many_as_there_may_be() -> None:
    async def test() -> None:
        async with serving(replace(LONG, per_network=2), ["127.0.0.0/8"]) as served:
            began = [await served.client(WAIT) for _ in range(LONG.connections)]
            await served.asking(LONG.connections)
            served.go.set()
            for one in began:
                assert b"200 OK" in await one.ask(b"")

    run(test)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HT", id="half a head"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\na", id="half a body"),
        pytest.param(ASK, id="nothing more"),
        pytest.param(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n", id="who does not read"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="TLS"),
    ],
)
def test_who_takes_too_long_is_cut_off(sent: bytes) -> None:
    async def test() -> None:
        async with serving(SHORT) as served:
            client = await served.client()
            client.writer.write(sent)
            await until(lambda: served.open)
            await until(lambda: not served.open)

    run(test)


def test_a_request_of_a_byte_now_and_then_is_cut_off() -> None:
    async def test() -> None:
        async with serving(replace(SHORT, whole=60)) as served:
            client = await served.client()
            client.writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n")
            sent = 0
            try:
                async with asyncio.timeout(SOON):
                    while sent < 100_000:
                        client.writer.write(b"a")
                        await client.writer.drain()
                        sent += 1
                        await asyncio.sleep(0.01)
            except ConnectionError:
                pass
            assert sent < 100_000, "it was never cut off"

    run(test)


def test_a_body_that_nobody_reads_ends_the_connection() -> None:
    async def test() -> None:
        async with serving(LONG) as served:
            client = await served.client()
            body = b"POST /unread HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000000\r\n\r\n" + b"a" * 1000
            assert b"200 OK" in await client.ask(body)
            assert await client.is_cut_off()

    run(test)


def test_one_request_each_where_it_says_so_else_several() -> None:
    async def test() -> None:
        async with serving(LONG) as served:
            client = await served.client()
            for _ in range(3):
                assert b"200 OK" in await client.ask()
        async with serving(replace(LONG, keep_alive=False)) as served:
            client = await served.client()
            assert b"connection: close" in (await client.ask()).lower()
            assert await client.is_cut_off()

    run(test)


def test_a_process_without_descriptors_goes_on_when_there_are_some_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "_PAUSE", 0.01)

    async def test() -> None:
        loop, failures = asyncio.get_running_loop(), 3
        accept = loop.sock_accept

        async def failing(listener: socket.socket) -> Any:
            nonlocal failures
            if failures:
                failures -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return await accept(listener)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "sock_accept", failing)
            async with serving(LONG) as served:
                assert b"200 OK" in await (await served.client()).ask()
                assert not failures

    run(test)


def test_answers_have_a_date() -> None:
    async def test() -> None:
        async with serving(LONG) as served:
            assert b"\r\ndate: " in (await (await served.client()).ask()).lower()

    run(test)


def test_a_listener_leaves_most_descriptors_to_relays_and_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits.resource, "getrlimit", lambda which: (40, 40))
    assert limits.connections_at_most(limits.OF_PAGES) == 10
    monkeypatch.setattr(limits.resource, "getrlimit", lambda which: (4096, 4096))
    assert limits.connections_at_most(limits.OF_PAGES) == limits.OF_PAGES.connections
