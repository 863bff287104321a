"""A flood of the registrants' pages, in a process of its own, as if from thousands of networks behind a trusted proxy:

    python -m tests.endurance.visitors PORT RATE KEY...

Of each ten requests six open a page of one of these keys, three one of a key that nobody has, and one is a one-click
unsubscription. They are written at RATE a second, whether or not earlier ones were answered, as far as connections take
them. Each second it prints how many were answered so far.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
from collections.abc import Sequence

HOST = "127.0.0.1"
CONNECTIONS = 50
AT_ONCE = 10  # requests that a connection writes together
ONE_CLICK = b"List-Unsubscribe=One-Click"


def request(keys: Sequence[str]) -> bytes:
    """One request, from somewhere."""
    kind = random.randrange(10)
    key = secrets.token_hex(20) if 6 <= kind < 9 else random.choice(keys)
    network = ".".join(str(random.randrange(1, 255)) for _ in range(4))
    head, body = f"GET /r/{key}", b""
    if kind == 9:
        head, body = f"POST /r/{key}/unsubscribe", ONE_CLICK
    lines = (
        f"{head} HTTP/1.1\r\nHost: webinars.who.int\r\nX-Forwarded-For: {network}\r\nAccept-Language: ru\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return lines.encode() + body


class Visitors:
    """All connections, and what was answered."""

    def __init__(self, port: int, rate: float, keys: Sequence[str]) -> None:
        self._port, self._keys = port, keys
        self._pause = CONNECTIONS * AT_ONCE / rate
        self.answered = 0

    async def flood(self) -> None:
        """Until the process is killed."""
        async with asyncio.TaskGroup() as all_of_them:
            for _ in range(CONNECTIONS):
                all_of_them.create_task(self._again())
            all_of_them.create_task(self._tell())

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1)
            print(self.answered, flush=True)

    async def _again(self) -> None:
        await asyncio.sleep(random.random() * self._pause)
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, self._port)
                reading = asyncio.create_task(self._read(reader))
                try:
                    await self._write(writer, reading)
                finally:
                    reading.cancel()
                    writer.close()
            except OSError:
                await asyncio.sleep(0.1)

    async def _write(self, writer: asyncio.StreamWriter, reading: asyncio.Task[None]) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while not reading.done():
            writer.write(b"".join(request(self._keys) for _ in range(AT_ONCE)))
            await writer.drain()
            due = max(due + self._pause, clock() - 1)
            await asyncio.sleep(max(0.0, due - clock()))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while some := await reader.read(2**16):
            rest += some
            self.answered += rest.count(b"HTTP/1.1 ")
            rest = rest.rpartition(b"HTTP/1.1 ")[2][-8:] if b"HTTP/1.1 " in rest else rest[-8:]


if __name__ == "__main__":
    os.nice(19)  # an attacker has a computer of their own
    asyncio.run(Visitors(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]).flood())
