"""SMTP servers for tests, in the test's own event loop, on a loopback port that the system chooses.

`MailServer` is a real one (aiosmtpd) that keeps what it accepted. The one in `tests.smtp.scripted` misbehaves where a
test says so. Both speak plain, STARTTLS or implicit TLS with a certificate of `authority()`, whose file a client trusts
by `ca_file`.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import shutil
import ssl
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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


class LoopbackServer:
    """What the servers of the tests share: listening, TLS, and an end that leaves nothing behind."""

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


class MailServer(LoopbackServer):
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
