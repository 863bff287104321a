"""A mail server that takes everything, slowly and unevenly, and knows for good what it took. Run as a process.

Of each mail it appends a line to a file, and has it on the disk before it says 250. By turns it offers a
connection CHUNKING, PIPELINING alone, or neither. It answers a mail's content in no time or after a set time, and
meanwhile goes on with the mails behind it.

It is a process of its own so that no kill or stop of a service touches it, and what it took is on the disk. It uses no
code of the sender's, nor of the tests' other servers: a mistake in theirs cannot hide a mail that was lost here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from email.header import decode_header, make_header
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

OFFERS = (b"PIPELINING CHUNKING 8BITMIME", b"PIPELINING 8BITMIME", b"8BITMIME")
PAUSES = (0, 0, 0, 0.001, 0.005, 0.03)
MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)
SUBJECT = re.compile(rb"^subject:[ ]*(.*(?:\r\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)


class Taken(NamedTuple):
    """One mail that was accepted."""

    at: float  # Unix time, in seconds
    message_id: str
    recipient: str
    subject: str


def read(file: Path) -> list[Taken]:
    """What a receiver has taken so far."""
    return [Taken(*json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


async def serve(
    file: Path, listening: socket.socket, seed: int, answer_after: float, password: Path | None = None
) -> None:
    """Accept connections until killed. `password`: the file with what is asked of whoever signs in."""
    luck = random.Random(seed)
    offers = cycle(luck.sample(OFFERS, len(OFFERS)))
    taken = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def take(content: bytes, recipient: bytes) -> None:
        message_id, subject = (header.search(content) for header in (MESSAGE_ID, SUBJECT))
        mail = Taken(
            time.time(), message_id[1].decode() if message_id else "", recipient.decode(),
            str(make_header(decode_header(subject[1].decode().replace("\r\n", "")))) if subject else "",
        )  # fmt: skip
        os.write(taken, json.dumps(mail).encode() + b"\n")
        os.fsync(taken)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, next(offers), luck, take, answer_after, password)
        answering = asyncio.create_task(connection.answer())
        try:
            await connection.listen()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            answering.cancel()
            writer.transport.abort()

    server = await asyncio.start_server(talk, sock=listening, limit=2**22)
    async with server:
        await server.serve_forever()


class Connection:
    """One conversation: what comes in is read at once, each reply leaves when its time has come, in their order."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, offers: bytes, luck: random.Random,
        take: Callable[[bytes, bytes], None], answer_after: float, password: Path | None,
    ) -> None:  # fmt: skip
        self._reader, self._writer, self._offers, self._luck = reader, writer, offers.split(), luck
        self._take, self._answer_after, self._password = take, answer_after, password
        self._signed_in = password is None
        self._replies: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def answer(self) -> None:
        with suppress(ConnectionError):
            while True:
                at, reply = await self._replies.get()
                await asyncio.sleep(at - time.monotonic())
                self._writer.write(reply)
                await self._writer.drain()
                self._replies.task_done()

    def _say(self, *lines: bytes, after: float = 0) -> None:
        marked = [line[:3] + b"-" + line[4:] for line in lines[:-1]] + [lines[-1]]
        self._replies.put_nowait((time.monotonic() + after, b"\r\n".join(marked) + b"\r\n"))

    async def listen(self) -> None:
        recipient = b""
        self._say(b"220 receiver.test")
        while line := (await self._reader.readline()).strip():
            word, _, rest = line.partition(b" ")
            word = word.upper()
            if word == b"EHLO":
                offers = self._offers if self._password is None else [*self._offers, b"AUTH PLAIN"]
                self._say(b"250 receiver.test", *(b"250 " + offer for offer in offers))
            elif word == b"AUTH":
                self._sign_in(rest)
            elif not self._signed_in and word != b"QUIT":
                self._say(b"530 5.7.0 sign in first")
            elif word == b"RCPT":
                recipient = rest.partition(b"<")[2].rpartition(b">")[0]
                self._say(b"250 2.1.5 recipient ok")
            elif word == b"DATA":
                self._say(b"354 go ahead")
                await self._content(await self._reader.readuntil(b"\r\n.\r\n"), recipient)
            elif word == b"BDAT":
                await self._content(await self._reader.readexactly(int(rest.split()[0])), recipient)
            elif word == b"QUIT":
                self._say(b"221 2.0.0 bye")
                await self._replies.join()
                return
            else:  # MAIL, RSET, NOOP
                self._say(b"250 2.1.0 ok")

    def _sign_in(self, given: bytes) -> None:
        assert self._password
        said = base64.b64decode(given.partition(b" ")[2]).rpartition(b"\0")[2]
        self._signed_in = said == self._password.read_bytes()
        # It repeats what it was given, as some do.
        self._say(b"235 2.7.0 welcome" if self._signed_in else b"535 5.7.8 not " + said)

    async def _content(self, content: bytes, recipient: bytes) -> None:
        await asyncio.sleep(self._luck.choice(PAUSES))
        self._take(content, recipient)
        self._say(b"250 2.0.0 taken", after=self._answer_after or self._luck.choice(PAUSES))


if __name__ == "__main__":
    file, number, seed, answer_after, *password = sys.argv[1:]
    listening = socket.socket(fileno=int(number))
    asyncio.run(
        serve(Path(file), listening, int(seed), float(answer_after), Path(password[0]) if password else None)
    )
