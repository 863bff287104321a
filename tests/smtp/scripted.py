"""An SMTP server that follows a script. It shares no code with the sender.

It speaks what relays speak: PIPELINING, CHUNKING, SIZE, 8BITMIME, SMTPUTF8, STARTTLS, AUTH. Like Postfix and Exim it
leaves a transaction open whose recipient it refused: a MAIL that comes without RSET is refused, and mail behind it
would go out under the old sender. Whatever it does after a mail's end but to refuse it, it has taken that mail before:
so a sender that forgets it sends it twice, and one that counts what was not taken loses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from tests.smtp_server import HOST, LoopbackServer, Tls

Stage = Literal[
    "banner", "ehlo", "starttls", "auth", "noop", "rset", "mail", "rcpt", "data", "midway", "content", "quit"
]
"""Where something can happen: "midway" is in the middle of a mail's content, "content" behind its end."""


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
    HANG_UP = "hang up"
    """Replies, and closes at once."""


Act = str | Deed
"""A reply in full ("451 4.3.0 Later"; after a 421 it closes) or a deed; "" is the reply that is due."""

Script = Mapping[str, Act | list[Act]]
"""What happens at a stage: one act each time, or a list of acts, one a time, and the replies that are due after its
end. A line that is no command has its first word, in lower case, for a stage."""


@dataclass(frozen=True)
class Fault:
    """The short form of a script: `deed` where `stage` comes for the `nth` time (from 1) on this server."""

    stage: Stage
    deed: Deed
    nth: int = 1

    def script(self) -> Script:
        """The same in full."""
        return {self.stage: [*[""] * (self.nth - 1), self.deed]}


@dataclass(frozen=True)
class Taken:
    """A mail that the server took."""

    sender: str
    recipient: str
    content: bytes


REFUSALS: dict[tuple[str, Deed], str] = {
    ("banner", Deed.LATER): "450 4.3.2 busy",
    ("banner", Deed.NEVER): "554 5.3.2 no service here",
    ("ehlo", Deed.LATER): "451 4.3.0 not now",
    ("ehlo", Deed.NEVER): "550 5.7.1 not you",
    ("starttls", Deed.LATER): "454 4.7.0 TLS not available",
    ("starttls", Deed.NEVER): "501 5.5.4 no TLS",
    ("auth", Deed.LATER): "454 4.7.0 temporary failure",
    ("auth", Deed.NEVER): "535 5.7.8 credentials invalid",
    ("noop", Deed.LATER): "451 4.3.0 not now",
    ("noop", Deed.NEVER): "500 5.5.1 what?",
    ("rset", Deed.LATER): "451 4.3.0 not now",
    ("rset", Deed.NEVER): "500 5.5.1 what?",
    ("mail", Deed.LATER): "451 4.3.0 not now",
    ("mail", Deed.NEVER): "553 5.1.8 sender refused",
    ("rcpt", Deed.LATER): "450 4.2.0 mailbox busy",
    ("rcpt", Deed.NEVER): "550 5.1.1 no such user",
    ("data", Deed.LATER): "451 4.3.0 try again",
    ("data", Deed.NEVER): "554 5.6.0 no valid mail",
    ("midway", Deed.LATER): "451 4.3.0 try again",
    ("midway", Deed.NEVER): "554 5.6.0 content refused",
    ("content", Deed.LATER): "451 4.3.0 try again",
    ("content", Deed.NEVER): "554 5.6.0 content refused",
    ("quit", Deed.LATER): "451 4.3.0 stay",
    ("quit", Deed.NEVER): "500 5.5.1 stay",
}

WORDS: dict[str, str] = {
    "banner": "220 relay.test ESMTP",
    "starttls": "220 2.0.0 ready",
    "auth": "235 2.7.0 welcome",
    "noop": "250 2.0.0 ok",
    "rset": "250 2.0.0 reset",
    "mail": "250 2.1.0 sender ok",
    "rcpt": "250 2.1.5 recipient ok",
    "data": "354 go ahead",
    "content": "250 2.0.0 taken",
    "quit": "221 2.0.0 bye",
}
UNKNOWN = "500 5.5.2 what?"

PLAIN = ("SIZE 10000000", "8BITMIME", "SMTPUTF8", "AUTH PLAIN LOGIN")
GROUPS = ("PIPELINING", *PLAIN)
CHUNKS = ("CHUNKING", *GROUPS)


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


class ScriptedServer(LoopbackServer):
    """`async with ScriptedServer({"rcpt": ["451 4.3.0 Later"]}) as server`, or `ScriptedServer(Fault(…))`.

    `words`: how it says yes, by stage, where that is not as in `WORDS`. `polite`: answers DATA with 354 though the
    only recipient was refused, and refuses the content (RFC 2920, 3.1). `refuses`: what it refuses for good, each
    time: (stage, address), the sender's for "mail", else the recipient's. `most_mails`: how many MAIL commands a
    connection may have before it gets a 421; 0: no limit.
    """

    def __init__(
        self,
        script: Script | Fault | None = None,
        *,
        tls: Tls = "none",
        extensions: Sequence[str] = PLAIN,
        names: Sequence[str] = (HOST, "localhost"),
        words: Mapping[str, str] | None = None,
        polite: bool = False,
        refuses: Collection[tuple[Stage, str]] = (),
        most_mails: int = 0,
    ) -> None:
        super().__init__(tls, names, expired=False)
        acts = script.script() if isinstance(script, Fault) else script or {}
        self.script = {stage: list(act) if isinstance(act, list) else act for stage, act in acts.items()}
        self.extensions = extensions
        self.words = words or {}
        self.polite, self.refuses, self.most_mails = polite, refuses, most_mails
        self.mails: list[Taken] = []
        self.commands: list[str] = []  # every one of all connections, as it came
        self.done = asyncio.Event()  # set when something in the script has been done
        self.silent = asyncio.Event()  # set while somebody waits for a reply that does not come
        self.ended = asyncio.Event()  # set when a connection is over
        self.swallowed = b""  # the last bytes that came during a silence
        self._writers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def _listen(self) -> asyncio.Server:
        context = self.context if self.tls == "implicit" else None
        return await asyncio.start_server(self._serve, HOST, 0, ssl=context, limit=2**21)

    async def hang_up(self) -> None:
        writers = dict(self._writers)
        for task, writer in writers.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*writers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._writers[task] = writer
        with contextlib.suppress(_Over, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._converse(_Talk(reader, writer))
        writer.transport.abort()
        del self._writers[task]
        self.ended.set()

    async def _converse(self, talk: _Talk) -> None:
        await self._reply(talk, "banner")
        while line := await talk.reader.readline():
            command = line.decode("utf-8", "replace").removesuffix("\r\n")
            self.commands.append(command)
            if not (await self._about_mail(talk, command) or await self._about_the_session(talk, command)):
                await self._reply(talk, command.partition(" ")[0].lower(), yes=UNKNOWN)

    async def _about_the_session(self, talk: _Talk, command: str) -> bool:
        match command.upper().split():
            case ["EHLO", _]:
                await self._reply(talk, "ehlo", yes=self._offer(talk))
            case ["STARTTLS"]:
                if await self._reply(talk, "starttls") and self.context:
                    await talk.writer.start_tls(self.context)
            case ["AUTH", *_]:
                await self._reply(talk, "auth")
            case ["NOOP"]:
                await self._reply(talk, "noop")
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
        offers = [
            "relay.test",
            *self.extensions,
            *(["STARTTLS"] if self.tls == "starttls" and not in_tls else []),
        ]
        return "".join(f"250-{one}\r\n" for one in offers[:-1]) + f"250 {offers[-1]}"

    async def _mail(self, talk: _Talk, command: str) -> None:
        talk.mails += 1
        sender = command[len("MAIL FROM:<") :].partition(">")[0]
        if 0 < self.most_mails < talk.mails:
            await self._say(talk, "421 4.7.0 too many messages in this session")
            raise _Over
        if talk.open:
            await self._say(talk, "503 5.5.1 nested MAIL")
        elif await self._reply(talk, "mail", sender):
            talk.sender, talk.open = sender, True

    async def _rcpt(self, talk: _Talk, command: str) -> None:
        recipient = command[len("RCPT TO:<") :].rpartition(">")[0]
        if not talk.open:
            await self._say(talk, "503 5.5.1 no MAIL")
        elif await self._reply(talk, "rcpt", recipient):
            talk.recipient = recipient

    async def _data(self, talk: _Talk) -> None:
        if talk.recipient is None and not (self.polite and talk.open):
            await self._say(talk, "503 5.5.1 no recipient")
            return
        if talk.recipient is not None and not await self._reply(talk, "data", talk.recipient):
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
        act = self._next("midway")
        if act is Deed.TWICE:  # once now, once at the end
            self.done.set()
            await self._say(talk, self._yes("content"))
        elif act:
            nothing_due = act in (Deed.GARBAGE, Deed.HANG_UP)
            await self._do(talk, act, "" if nothing_due else self._yes("content"))
        return isinstance(act, str) and act != ""

    async def _end(self, talk: _Talk, content: bytes, answered: bool) -> None:
        """Behind the content. A mail is taken before anything can happen to the reply."""
        sender, recipient = talk.sender, talk.recipient
        if sender is None or recipient is None:
            await self._say(
                talk, "554 5.5.1 no valid recipients" if self.polite else "503 5.5.1 no recipient"
            )
        elif not answered:
            talk.sender, talk.recipient, talk.open = None, None, False
            act = self._next("content", recipient)
            if not (isinstance(act, str) and act.startswith(("4", "5"))):
                self.mails.append(Taken(sender, recipient, content))
            await self._do(talk, act, self._yes("content"))

    # The script

    def _yes(self, stage: str) -> str:
        return self.words.get(stage) or WORDS[stage]

    def _next(self, stage: str, address: str = "") -> Act:
        """What is to be done now, a refusal as the reply that it is; "" for the reply that is due."""
        if (stage, address) in self.refuses:
            return REFUSALS[stage, Deed.NEVER]
        acts = self.script.get(stage, "")
        act = (acts.pop(0) if acts else "") if isinstance(acts, list) else acts
        match act:
            case Deed.LATER | Deed.NEVER:
                return REFUSALS[stage, act]
            case Deed.LEAVE:
                return "421 4.3.2 shutting down"
        return act

    async def _reply(self, talk: _Talk, stage: str, address: str = "", *, yes: str = "") -> bool:
        """The reply that is due, or what the script has instead. Returns whether it says yes."""
        return await self._do(talk, self._next(stage, address), yes or self._yes(stage))

    async def _do(self, talk: _Talk, act: Act, yes: str) -> bool:
        if act:
            self.done.set()
        match act:
            case str():
                await self._say(talk, act or yes)
                if act.startswith("421"):
                    raise _Over
                return (act or yes)[0] == yes[0]
            case Deed.RESET:
                linger = struct.pack("ii", 1, 0)
                talk.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                raise _Over
            case Deed.SILENCE:
                await self._swallow(talk)
                raise _Over
            case Deed.HALF:
                await self._say(talk, yes[:2], end="")
                raise _Over
            case Deed.CLOSE:
                raise _Over
            case Deed.HANG_UP:
                await self._say(talk, yes, end="\r\n" if yes else "")
                raise _Over
            case Deed.GARBAGE:
                await self._say(talk, f"\x00lorem \udcff ipsum\r\n{yes}", end="\r\n" if yes else "")
            case Deed.LONG:
                code = yes[:3]
                await self._say(talk, f"{code}-{'lorem ipsum ' * 60}\r\n" * 1400 + yes)
            case Deed.TWICE:
                await self._say(talk, f"{yes}\r\n{yes}")
        return True

    async def _swallow(self, talk: _Talk) -> None:
        self.silent.set()
        while some := await talk.reader.read(2**16):
            self.swallowed = (self.swallowed + some)[-10:]
        self.silent.clear()

    async def _say(self, talk: _Talk, text: str, end: str = "\r\n") -> None:
        talk.writer.write((text + end).encode("utf-8", "surrogateescape"))
        await talk.writer.drain()
