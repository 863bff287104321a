"""Who takes the mails: programs that are not ours (Postfix and its smtp-sink), and a proxy that makes them distant."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

from tests.endtoend.support import free_port
from tests.smtp.mail_servers import postfix as postfix_of_the_tests
from tests.smtp.mail_servers import wait_for_banner

HOST = "127.0.0.1"


@contextlib.contextmanager
def sink(*, eight_bit: bool = True) -> Iterator[int]:
    """Postfix's smtp-sink, which takes everything and keeps nothing, with PIPELINING. Gives its port."""
    port = free_port()
    command = [
        "smtp-sink",
        "-u",
        "nobody",
        *([] if eight_bit else ["-8"]),
        "-m",
        "100",
        f"{HOST}:{port}",
        "200",
    ]
    with subprocess.Popen(command) as process:
        try:
            wait_for_banner(port)
            yield port
        finally:
            process.kill()


@contextlib.contextmanager
def postfix() -> Iterator[int]:
    """A whole Postfix that takes mail for example.com and throws it away, with PIPELINING and CHUNKING."""
    with postfix_of_the_tests(transport="discard") as relay:
        yield relay.port


@contextlib.contextmanager
def distant(port: int, round_trip: float) -> Iterator[int]:
    """`port`, so many seconds of round trip away. Gives the near port."""
    near = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.receivers", *map(str, (near, port, round_trip))]
    ) as it:
        try:
            wait_for_banner(near)
            yield near
        finally:
            it.kill()


async def _pass_on(near: int, far: int, round_trip: float) -> None:
    """Whatever comes goes out half a round trip later, in its order; the connection has no other limit."""

    async def carry(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, come_by: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            while True:
                at, some = await on_the_way.get()
                await asyncio.sleep(at - loop.time())
                writer.write(some)
                if not some:
                    writer.close()
                    return

        arriving = asyncio.create_task(arrive())
        with contextlib.suppress(ConnectionError):
            while some := await reader.read(2**20):
                # At once, as a computer so far away does: whoever waits for it must not wait 40 ms more (RFC 896).
                come_by.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                on_the_way.put_nowait((loop.time() + round_trip / 2, some))
        on_the_way.put_nowait((loop.time() + round_trip / 2, b""))
        await arriving

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, far)
        near_side, far_side = (one.get_extra_info("socket") for one in (writer, back))
        await asyncio.gather(
            carry(reader, back, near_side), carry(there, writer, far_side), return_exceptions=True
        )

    async with await asyncio.start_server(talk, HOST, near) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_pass_on(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
