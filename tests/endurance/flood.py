"""Hostile clients of every listener of a service, in a process of their own:

    python -m tests.endurance.flood HEALTH_PORT EDITOR_PORT [SESSION CSRF]

They run until they are killed: silent connections by the hundred, requests as fast as they are taken, requests of a
byte now and then, garbage, passwords, and (with the cookie of a session) texts that compute for ever.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

HOST = "127.0.0.1"
LONG_WORD = "---\nsubject: x\npreheader: y\n---\n" + "a" * 150_000
BOMBS = (
    LONG_WORD,
    "---\nsubject: x\n---\n" + "{{" * 60_000,
    "---\nsubject: x\n---\n{% for a in name %}" + "{% for b in name %}" * 8 + "x" + "{% endfor %}" * 9,
    "---\nsubject: x\n---\n" + "[" * 100_000,
    "---\nsubject: x\n---\n" + "3 July 3 July " * 10_000,
)


async def silent(port: int) -> None:
    """Connect, and say nothing until one is cut off."""
    reader, writer = await asyncio.open_connection(HOST, port)
    await reader.read()
    writer.close()


async def hasty(port: int, path: str) -> None:
    """One request, and the next at once."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def slow(port: int) -> None:
    """A body of a byte now and then."""
    _, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"POST /templates/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.05)


async def garbage(port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(random.randbytes(5000))
    await reader.read()
    writer.close()


async def large(port: int) -> None:
    """A body without end."""
    _, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n")
    while True:
        writer.write(b"a" * 65536)
        await writer.drain()


async def passwords(port: int) -> None:
    body = urlencode({"address": f"{random.random()}@who.int", "password": "guessed"})
    await _post(port, "/templates/sign-in", body.encode(), "")


async def bombs(port: int, session: str, csrf: str) -> None:
    body = json.dumps({"source": random.choice(BOMBS), "whole": "yes"}).encode()
    await _post(
        port, "/templates/confirmation/en/try", body, f"Cookie: session={session}\r\nX-CSRF: {csrf}\r\n"
    )


async def _post(port: int, path: str, body: bytes, headers: str) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n{headers}"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await reader.read()
    writer.close()


async def again(attack: Callable[[], Awaitable[None]]) -> None:
    """Whatever becomes of it, the next one follows."""
    while True:
        try:
            await attack()
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.01)


async def flood(health: int, editor: int, session: str = "", csrf: str = "") -> None:
    """All of it at once."""
    async with asyncio.TaskGroup() as attacks:
        for port, path in ((health, "/readyz"), (editor, "/templates/sign-in")):
            for count, attack in (
                (300, lambda port=port: silent(port)),
                (20, lambda port=port, path=path: hasty(port, path)),
                (20, lambda port=port: slow(port)),
                (5, lambda port=port: garbage(port)),
                (3, lambda port=port: large(port)),
            ):
                for _ in range(count):
                    attacks.create_task(again(attack))
        for _ in range(30):
            attacks.create_task(again(lambda: passwords(editor)))
        if session:
            for _ in range(10):
                attacks.create_task(again(lambda: bombs(editor, session, csrf)))


if __name__ == "__main__":
    os.nice(19)  # an attacker has a computer of their own
    asyncio.run(flood(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
