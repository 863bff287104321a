"""SMTP servers for tests, in the test's own event loop, on a loopback port that the system chooses.

`MailServer` is a real one (aiosmtpd) that keeps what it accepted. `ScriptedServer` is a small one of our own
that misbehaves at the stages a test names. Both speak plain, STARTTLS or implicit TLS with a certificate of
`authority()`, whose file a client trusts by `ca_file`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import shutil
import socket
import ssl
import struct
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Tls = Literal["none", "starttls", "implicit"]
HOST = "127.0.0.1"


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Lets pytest run an async test, which has 30 seconds of real time at most."""

    async def watched(task: asyncio.Task[None], end: float) -> None:
        while not task.done() and time.monotonic() < end:
            await asyncio.wait({task}, timeout=1)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            raise TimeoutError("the test hung")
        await task

    async def main(*args: object, **kwargs: object) -> None:
        await watched(asyncio.create_task(test(*args, **kwargs)), time.monotonic() + 30)

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        asyncio.run(main(*args, **kwargs))

    return run


def pass_time(seconds: float) -> None:
    """Puts the running loop's clock forward: its timeouts fall due without anybody having waited."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    loop.time = lambda: clock() + seconds  # type: ignore[method-assign]


@functools.cache
def authority() -> trustme.CA:
    """The authority that signs the servers' certificates; one a process."""
    return trustme.CA()


@functools.cache
def ca_file() -> str:
    """The path of the authority's certificate (PEM)."""
    directory = tempfile.mkdtemp(prefix="smtp-server-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = Path(directory) / "ca.pem"
    authority().cert_pem.write_to_path(path)
    return str(path)


@functools.cache
def server_context(*names: str, expired: bool = False) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for `names`."""
    end = datetime(2020, 1, 1, tzinfo=UTC) if expired else None
    certificate = authority().issue_cert(*names, not_after=end)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@dataclass(frozen=True)
class Received:
    """A mail that was accepted; `content` exactly as it came, its dots no longer stuffed."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    options: tuple[str, ...]
    secured: bool
    user: str
    connection: int


class _Server:
    """What both servers share: listening, TLS, and an end that leaves nothing behind."""

    def __init__(self, tls: Tls, names: Sequence[str], expired: bool) -> None:
        self.tls = tls
        self.context = server_context(*names, expired=expired) if tls != "none" else None
        self.connections = 0
        self.host = HOST
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _listen(self) -> asyncio.Server:
        raise NotImplementedError

    async def hang_up(self) -> None:
        """Closes every open connection, as a relay does that restarts; it goes on listening."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._server = await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.hang_up()
        await self._server.wait_closed()


class MailServer(_Server):
    """A real SMTP server. `mails` has what it accepted, `hellos` the names that clients gave.

    `users`: names and passwords; when given, MAIL needs a sign-in. `refusals`: an address and the reply that
    RCPT gets for it. `without`: extensions that it does not offer. `size_limit`: the largest mail, in bytes; 0: none.
    """

    def __init__(
        self,
        *,
        tls: Tls = "none",
        users: Mapping[str, str] | None = None,
        refusals: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
        mechanisms: Sequence[str] = ("PLAIN", "LOGIN"),
        names: Sequence[str] = (HOST, "localhost"),
        expired: bool = False,
        size_limit: int = 33_554_432,
    ) -> None:
        super().__init__(tls, names, expired)
        self.size_limit = size_limit
        self.mails: list[Received] = []
        self.hellos: list[str] = []
        self.users = users or {}
        self.refusals = refusals or {}
        self._without = without
        self._excluded = {"PLAIN", "LOGIN"} - set(mechanisms)
        self._protocols: list[SMTP] = []

    def _protocol(self) -> SMTP:
        self.connections += 1
        protocol = SMTP(
            self,
            hostname="relay.test",
            data_size_limit=self.size_limit,
            loop=asyncio.get_running_loop(),
            enable_SMTPUTF8=True,
            tls_context=self.context if self.tls == "starttls" else None,
            require_starttls=self.tls == "starttls",
            auth_require_tls=self.tls == "starttls",
            authenticator=self._authenticate,
            auth_exclude_mechanism=self._excluded,
        )
        protocol.connection_number = self.connections  # type: ignore[attr-defined]
        self._protocols.append(protocol)
        return protocol

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        context = self.context if self.tls == "implicit" else None
        return await loop.create_server(self._protocol, HOST, 0, ssl=context)

    async def hang_up(self) -> None:
        protocols, self._protocols = self._protocols, []
        for protocol in protocols:
            for transport in (protocol.transport, protocol._original_transport):
                if isinstance(transport, asyncio.WriteTransport):
                    transport.abort()
        handlers = [protocol._handler_coroutine for protocol in protocols if protocol._handler_coroutine]
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        name, password = login.login.decode(), login.password.decode()
        return AuthResult(success=self.users.get(name) == password, handled=False, auth_data=name)

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.hellos.append(hostname)
        return [line for line in responses if line[4:].split(" ")[0] not in self._without]

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.users and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert server.transport is not None
        self.mails.append(
            Received(
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                content=envelope.original_content or b"",
                options=tuple(envelope.mail_options),
                secured=server.transport.get_extra_info("sslcontext") is not None,
                user=str(session.auth_data or ""),
                connection=server.connection_number,  # type: ignore[attr-defined]
            )
        )
        return f"250 2.0.0 Queued as {len(self.mails)}"


class Misdeed(Enum):
    """What a scripted server can do instead of answering."""

    CLOSE = "closes"
    RESET = "resets the connection"
    SILENCE = "says nothing"
    GARBAGE = "says what is no reply"
    HALF_A_LINE = "says half a line, then nothing"
    TWICE = "answers twice"
    LEAVE = "answers and hangs up at once"


Act = str | Misdeed
"""A reply in full ("451 4.3.0 Later"; after a 421 it closes), or a misdeed."""

_NORMAL = {
    "banner": "220 relay.test ESMTP",
    "starttls": "220 2.0.0 Go ahead",
    "auth": "235 2.7.0 Welcome",
    "mail": "250 2.1.0 OK",
    "rcpt": "250 2.1.5 OK",
    "data": "354 Go ahead",
    "midway": "",
    "content": "250 2.0.0 Queued",
    "rset": "250 2.0.0 OK",
    "noop": "250 2.0.0 OK",
    "quit": "221 2.0.0 Bye",
}


class _HangUp(Exception):
    pass


class ScriptedServer(_Server):
    """An SMTP server that follows a script: stage -> an act, each time, or a list of acts, one a time.

    After a list's end, and where the script is silent, it behaves. An empty string in a list behaves, too.
    Stages: banner, ehlo, starttls, auth, mail, rcpt, data, midway (after the content's first line), content
    (after the dot), rset, noop, quit. `lines` has every command that it got, `mails` what it accepted.
    """

    def __init__(
        self,
        script: Mapping[str, Act | list[Act]] | None = None,
        *,
        tls: Tls = "none",
        extensions: Sequence[str] = ("SIZE 10000000", "8BITMIME", "SMTPUTF8", "AUTH PLAIN LOGIN"),
        names: Sequence[str] = (HOST, "localhost"),
    ) -> None:
        super().__init__(tls, names, expired=False)
        self.script = {
            stage: list(act) if isinstance(act, list) else act for stage, act in (script or {}).items()
        }
        self.extensions = list(extensions)
        self.lines: list[str] = []
        self.mails: list[bytes] = []
        self.waiting = asyncio.Event()  # set when it begins to say nothing
        self.ended = asyncio.Event()  # set when a connection is over
        self.swallowed = b""  # the last bytes that came while it said nothing
        self._writers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def _listen(self) -> asyncio.Server:
        context = self.context if self.tls == "implicit" else None
        return await asyncio.start_server(self._serve, HOST, 0, ssl=context, limit=2**20)

    async def hang_up(self) -> None:
        writers = dict(self._writers)
        for task, writer in writers.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*writers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._writers[task] = writer
        with contextlib.suppress(OSError, _HangUp, asyncio.CancelledError):
            await self._converse(reader, writer)
        writer.transport.abort()
        del self._writers[task]
        self.ended.set()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._act("banner", reader, writer)
        while line := await reader.readline():
            self.lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
            stage = line.split()[0].decode("ascii", "replace").lower() if line.strip() else "?"
            answer = await self._act(stage, reader, writer)
            if stage == "starttls" and answer.startswith("220") and self.context:
                await writer.start_tls(self.context)
            elif stage == "data" and answer.startswith("354"):
                await self._take_content(reader, writer)
            elif stage == "quit":
                return

    async def _take_content(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = await reader.readline()
        await self._act("midway", reader, writer)
        while not content.endswith(b"\r\n.\r\n") and content != b".\r\n":
            line = await reader.readline()
            if not line:
                raise _HangUp
            content += line
        if (await self._act("content", reader, writer)).startswith("250"):
            self.mails.append(content)

    async def _act(self, stage: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        scripted = self.script.get(stage, "")
        act = (scripted.pop(0) if scripted else "") if isinstance(scripted, list) else scripted
        if isinstance(act, Misdeed):
            await self._misbehave(act, reader, writer)
        answer = act if isinstance(act, str) and act else self._normal(stage)
        lines = f"{answer}\r\n{answer}\r\n" if act is Misdeed.TWICE else f"{answer}\r\n"
        if answer:
            writer.write(lines.encode())
            await writer.drain()
        if answer.startswith("421") or act is Misdeed.LEAVE:
            await self._close(writer)
        return answer

    def _normal(self, stage: str) -> str:
        if stage == "ehlo":
            offer = [*self.extensions, *(["STARTTLS"] if self.tls == "starttls" else [])]
            words = ["relay.test", *offer]
            return "\r\n".join([*(f"250-{word}" for word in words[:-1]), f"250 {words[-1]}"])
        return _NORMAL.get(stage, "500 5.5.2 What?")

    async def _misbehave(
        self, deed: Misdeed, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match deed:
            case Misdeed.CLOSE:
                await self._close(writer)
            case Misdeed.RESET:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                raise _HangUp
            case Misdeed.GARBAGE:
                writer.write(b"\x00\xff\xfe lorem ipsum\r\n")
            case Misdeed.HALF_A_LINE:
                writer.write(b"25")
        if deed in (Misdeed.SILENCE, Misdeed.GARBAGE, Misdeed.HALF_A_LINE):
            self.waiting.set()
            while some := await reader.read(2**16):
                self.swallowed = (self.swallowed + some)[-10:]
            raise _HangUp

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        raise _HangUp
