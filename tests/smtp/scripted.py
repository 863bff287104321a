"""An SMTP server that misbehaves once, where and how a `Fault` says. It shares no code with the sender.

It speaks what relays speak: PIPELINING, CHUNKING, SIZE, 8BITMIME, SMTPUTF8, STARTTLS, AUTH PLAIN. Like Postfix and Exim
it leaves a transaction open whose recipient it refused: a MAIL that comes without RSET is refused, and mail behind it
would go out under the old sender. Whatever it does after a mail's end but to refuse it, it has taken that mail before:
so a sender that forgets it sends it twice, and one that counts what was not taken loses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Self

from tests.smtp_server import server_context

Stage = Literal[
    "banner", "ehlo", "starttls", "auth", "rset", "mail", "rcpt", "data", "content", "end", "quit"
]


class Deed(Enum):
    """What the server does instead of, or besides, the reply that is due."""

    LATER = "4xx"
    NEVER = "5xx"
    LEAVE = "421"
    """Says 421 and closes."""
    RESET = "reset"
    SILENCE = "silence"
    GARBAGE = "garbage"
    """Says what is no reply before the reply."""
    HALF = "half"
    """Half a line, then it closes."""
    LONG = "long"
    """The reply, 1 MB long."""
    TWICE = "twice"
    CLOSE = "close"


@dataclass(frozen=True)
class Fault:
    """`deed` where `stage` comes for the `nth` time (from 1) on this server: "content" is in the middle of a
    mail's content, in front of what is left of it, "end" behind it."""

    stage: Stage
    deed: Deed
    nth: int = 1


@dataclass(frozen=True)
class Taken:
    """A mail that the server took."""

    sender: str
    recipient: str
    content: bytes


REFUSALS: dict[tuple[Stage, Deed], str] = {
    ("banner", Deed.LATER): "450 4.3.2 busy",
    ("banner", Deed.NEVER): "554 5.3.2 no service here",
    ("ehlo", Deed.LATER): "451 4.3.0 not now",
    ("ehlo", Deed.NEVER): "550 5.7.1 not you",
    ("starttls", Deed.LATER): "454 4.7.0 TLS not available",
    ("starttls", Deed.NEVER): "501 5.5.4 no TLS",
    ("auth", Deed.LATER): "454 4.7.0 temporary failure",
    ("auth", Deed.NEVER): "535 5.7.8 credentials invalid",
    ("rset", Deed.LATER): "451 4.3.0 not now",
    ("rset", Deed.NEVER): "500 5.5.1 what?",
    ("mail", Deed.LATER): "451 4.3.0 not now",
    ("mail", Deed.NEVER): "553 5.1.8 sender refused",
    ("rcpt", Deed.LATER): "450 4.2.0 mailbox busy",
    ("rcpt", Deed.NEVER): "550 5.1.1 no such user",
    ("data", Deed.LATER): "451 4.3.0 try again",
    ("data", Deed.NEVER): "554 5.6.0 no valid mail",
    ("content", Deed.LATER): "451 4.3.0 try again",
    ("content", Deed.NEVER): "554 5.6.0 content refused",
    ("end", Deed.LATER): "451 4.3.0 try again",
    ("end", Deed.NEVER): "554 5.6.0 content refused",
    ("quit", Deed.LATER): "451 4.3.0 stay",
    ("quit", Deed.NEVER): "500 5.5.1 stay",
}

BANNER = "220 relay.test ESMTP"
WORDS: dict[str, str] = {
    "starttls": "220 2.0.0 ready",
    "auth": "235 2.7.0 welcome",
    "rset": "250 2.0.0 reset",
    "mail": "250 2.1.0 sender ok",
    "rcpt": "250 2.1.5 recipient ok",
    "data": "354 go ahead",
    "end": "250 2.0.0 taken",
    "quit": "221 2.0.0 bye",
}


class _Over(Exception):
    """This connection is over."""


@dataclass
class _Talk:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sender: str | None = None
    recipient: str | None = None
    open: bool = False  # a transaction, be it with nobody to get it
    mails: int = 0  # MAIL commands


@dataclass
class Server:
    """`async with Server(Fault(…)) as server`: listens on `port` of this machine; `taken` has the mails."""

    fault: Fault | None = None
    extensions: Sequence[str] = (
        "PIPELINING",
        "CHUNKING",
        "SIZE 10000000",
        "8BITMIME",
        "SMTPUTF8",
        "AUTH PLAIN",
    )
    starttls: bool = False
    words: dict[str, str] = field(default_factory=dict)
    """How it says yes, by stage, where that is not as in `WORDS`."""
    polite: bool = False
    """Answers DATA with 354 though the only recipient was refused, and refuses the end (RFC 2920, 3.1)."""
    refuses: Collection[tuple[Stage, str]] = ()
    """What it refuses for good, each time: (stage, address), the sender's for "mail", else the recipient's."""
    most_mails: int = 0
    """So many MAIL commands on a connection, then 421; 0: no limit."""

    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    taken: list[Taken] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    """Every command of all connections, as it came."""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the fault has been done."""
    silent: bool = False
    """While somebody waits for a reply that does not come."""

    async def __aenter__(self) -> Self:
        self._seen: Counter[Stage] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, self.host, 0, limit=2**21)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        with contextlib.suppress(_Over, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._converse(_Talk(reader, writer))
        writer.transport.abort()
        self._tasks.discard(task)

    async def _converse(self, talk: _Talk) -> None:
        await self._reply(talk, "banner", BANNER)
        while line := await talk.reader.readline():
            command = line.decode().removesuffix("\r\n")
            self.commands.append(command)
            if not (await self._about_mail(talk, command) or await self._about_the_session(talk, command)):
                await self._say(talk, "500 5.5.2 what?")

    async def _about_the_session(self, talk: _Talk, command: str) -> bool:
        match command.upper().split():
            case ["EHLO", _]:
                await self._reply(talk, "ehlo", self._offer(talk))
            case ["STARTTLS"]:
                if await self._reply(talk, "starttls"):
                    await talk.writer.start_tls(server_context(self.host, "localhost"))
            case ["AUTH", "PLAIN", _]:
                await self._reply(talk, "auth")
            case ["NOOP"]:
                await self._say(talk, "250 2.0.0 ok")
            case ["QUIT"]:
                await self._reply(talk, "quit")
                raise _Over
            case _:
                return False
        return True

    async def _about_mail(self, talk: _Talk, command: str) -> bool:
        match command.upper().split():
            case ["RSET"]:
                talk.sender, talk.recipient, talk.open = None, None, False
                await self._reply(talk, "rset")
            case ["MAIL", *_]:
                await self._mail(talk, command)
            case ["RCPT", *_]:
                await self._rcpt(talk, command)
            case ["DATA"]:
                await self._data(talk)
            case ["BDAT", size, "LAST"]:
                await self._bdat(talk, int(size))
            case _:
                return False
        return True

    def _offer(self, talk: _Talk) -> str:
        in_tls = talk.writer.get_extra_info("sslcontext") is not None
        offers = ["relay.test", *self.extensions, *(["STARTTLS"] if self.starttls and not in_tls else [])]
        return "".join(f"250-{one}\r\n" for one in offers[:-1]) + f"250 {offers[-1]}"

    async def _mail(self, talk: _Talk, command: str) -> None:
        talk.mails += 1
        sender = command[len("MAIL FROM:<") :].partition(">")[0]
        if 0 < self.most_mails < talk.mails:
            await self._say(talk, "421 4.7.0 too many messages in this session")
            raise _Over
        if talk.open:
            await self._say(talk, "503 5.5.1 nested MAIL")
        elif await self._agrees(talk, "mail", sender):
            talk.sender, talk.open = sender, True

    async def _rcpt(self, talk: _Talk, command: str) -> None:
        recipient = command[len("RCPT TO:<") :].rpartition(">")[0]
        if not talk.open:
            await self._say(talk, "503 5.5.1 no MAIL")
        elif await self._agrees(talk, "rcpt", recipient):
            talk.recipient = recipient

    async def _data(self, talk: _Talk) -> None:
        if talk.recipient is None and not (self.polite and talk.open):
            await self._say(talk, "503 5.5.1 no recipient")
            return
        if talk.recipient is not None and not await self._agrees(talk, "data", talk.recipient):
            return
        if talk.recipient is None:
            await self._say(talk, WORDS["data"])
        content = b""
        answered = False
        while (line := await talk.reader.readline()) != b".\r\n":
            if not line:
                raise _Over
            if not content:
                answered = await self._midway(talk)
            content += line.removeprefix(b".")
        await self._end(talk, content, answered)

    async def _bdat(self, talk: _Talk, size: int) -> None:
        content = await talk.reader.readexactly(size // 2)
        answered = talk.recipient is not None and await self._midway(talk)
        content += await talk.reader.readexactly(size - len(content))
        await self._end(talk, content, answered)

    async def _midway(self, talk: _Talk) -> bool:
        """In the middle of the content: whether the mail is answered already."""
        deed = self._deed("content")
        if deed is Deed.TWICE:  # once now, once at the end
            self.done.set()
            await self._say(talk, self._yes("end"))
        elif deed:
            await self._do(talk, "content", deed, "" if deed is Deed.GARBAGE else self._yes("end"))
        return deed in (Deed.LATER, Deed.NEVER)

    async def _end(self, talk: _Talk, content: bytes, answered: bool) -> None:
        """Behind the content. A mail is taken before anything can happen to the reply."""
        sender, recipient = talk.sender, talk.recipient
        if sender is None or recipient is None:
            await self._say(
                talk, "554 5.5.1 no valid recipients" if self.polite else "503 5.5.1 no recipient"
            )
        elif not answered:
            talk.sender, talk.recipient, talk.open = None, None, False
            no = (
                self._next("end") in (Deed.LATER, Deed.NEVER, Deed.LEAVE)
                or ("end", recipient) in self.refuses
            )
            if not no:
                self.taken.append(Taken(sender, recipient, content))
            await self._agrees(talk, "end", recipient)

    async def _agrees(self, talk: _Talk, stage: Stage, address: str) -> bool:
        if (stage, address) in self.refuses:
            await self._say(talk, REFUSALS[stage, Deed.NEVER])
            return False
        return await self._reply(talk, stage)

    # Misbehaving

    def _yes(self, stage: str) -> str:
        return self.words.get(stage) or WORDS[stage]

    def _next(self, stage: Stage) -> Deed | None:
        fault = self.fault
        due = fault and fault.stage == stage and fault.nth == self._seen[stage] + 1
        return fault.deed if fault and due else None

    def _deed(self, stage: Stage) -> Deed | None:
        deed = self._next(stage)
        self._seen[stage] += 1
        return deed

    async def _reply(self, talk: _Talk, stage: Stage, yes: str = "") -> bool:
        """The reply that is due, or the deed. Returns whether it says yes."""
        deed = self._deed(stage)
        if deed:
            return await self._do(talk, stage, deed, yes or self._yes(stage))
        await self._say(talk, yes or self._yes(stage))
        return True

    async def _do(self, talk: _Talk, stage: Stage, deed: Deed, yes: str) -> bool:
        self.done.set()
        match deed:
            case Deed.LATER | Deed.NEVER:
                await self._say(talk, REFUSALS[stage, deed])
                return False
            case Deed.LEAVE:
                await self._say(talk, "421 4.3.2 shutting down")
                raise _Over
            case Deed.RESET:
                linger = struct.pack("ii", 1, 0)
                talk.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                raise _Over
            case Deed.SILENCE:
                self.silent = True
                while await talk.reader.read(2**16):
                    pass
                self.silent = False
                raise _Over
            case Deed.HALF:
                await self._say(talk, yes[:2], end="")
                raise _Over
            case Deed.CLOSE:
                raise _Over
            case Deed.GARBAGE:
                await self._say(talk, f"\x00lorem \xff ipsum\r\n{yes}", end="\r\n" if yes else "")
            case Deed.LONG:
                code = yes[:3]
                await self._say(talk, f"{code}-{'lorem ipsum ' * 60}\r\n" * 1400 + yes)
            case Deed.TWICE:
                await self._say(talk, f"{yes}\r\n{yes}")
        return True

    async def _say(self, talk: _Talk, text: str, end: str = "\r\n") -> None:
        talk.writer.write((text + end).encode("latin-1"))
        await talk.writer.drain()
