"""A mail server that takes everything, slowly and unevenly, and knows for good what it took. Run as a process.

Of each mail it appends a line to a file and has it on the disk before it says 250: the time (Unix, seconds), the
Message-ID and the recipient. Connection by connection it draws what it offers: CHUNKING, PIPELINING alone, or neither.
It uses no code of the sender's, nor of the tests' other servers.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import time
from pathlib import Path

OFFERS = (b"PIPELINING CHUNKING 8BITMIME", b"PIPELINING 8BITMIME", b"8BITMIME")
MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)


async def serve(file: Path, port: int, seed: int) -> None:
    """Listen on 127.0.0.1 until killed."""
    luck = random.Random(seed)
    taken = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def take(content: bytes, recipient: bytes) -> None:
        found = MESSAGE_ID.search(content)
        line = b"%.6f %s %s\n" % (time.time(), found[1] if found else b"<none>", recipient)
        os.write(taken, line)
        os.fsync(taken)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await converse(reader, writer, luck, take)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", port, limit=2**22)
    async with server:
        await server.serve_forever()


async def converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, luck: random.Random, take: object
) -> None:
    """One connection, reply by reply."""
    assert callable(take)
    offers = luck.choice(OFFERS).split()
    recipient = b""

    async def pause() -> None:
        await asyncio.sleep(luck.choice((0, 0, 0, 0.001, 0.005, 0.03)))

    def say(*lines: bytes) -> None:
        for line in lines[:-1]:
            writer.write(line[:3] + b"-" + line[4:] + b"\r\n")
        writer.write(lines[-1] + b"\r\n")

    say(b"220 receiver.test")
    while line := (await reader.readline()).strip():
        word, _, rest = line.partition(b" ")
        word = word.upper()
        if word == b"EHLO":
            say(b"250 receiver.test", *(b"250 " + offer for offer in offers))
        elif word == b"RCPT":
            recipient = rest.partition(b"<")[2].rpartition(b">")[0]
            say(b"250 2.1.5 recipient ok")
        elif word == b"DATA":
            say(b"354 go ahead")
            content = await reader.readuntil(b"\r\n.\r\n")
            await pause()
            take(content, recipient)
            await pause()
            say(b"250 2.0.0 taken")
        elif word == b"BDAT":
            content = await reader.readexactly(int(rest.split()[0]))
            await pause()
            take(content, recipient)
            await pause()
            say(b"250 2.0.0 taken")
        elif word == b"QUIT":
            say(b"221 2.0.0 bye")
            await writer.drain()
            return
        else:  # MAIL, RSET, NOOP
            say(b"250 2.1.0 ok")
        await writer.drain()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
