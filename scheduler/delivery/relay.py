"""The relay: connections that are ready, kept open and reused, each of which sends one mail after another.

`session` opens, secures and signs in; `transaction` speaks one mail; here they are put together, so that a
relay which hung up on an idle connection costs no mail its attempt.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from scheduler.delivery.oauth import Tokens
from scheduler.delivery.replies import Reply
from scheduler.delivery.session import Doubtful, Refused, RelayFailure, RelaySettings, Session, Unreachable
from scheduler.delivery.transaction import Mail, transact

__all__ = ["Connection", "Doubtful", "Pool", "Refused", "RelayFailure", "RelaySettings", "Unreachable"]

CONTENT_TIMEOUT = 600.0
"""Seconds to wait for the reply after the content (RFC 5321, 4.5.3.2.6): giving up sooner makes doubles."""
IDLE_LIMIT = 10.0
"""Seconds after which an unused connection is asked whether it still lives before a mail is given to it."""

# A 421 to MAIL that is about this connection, not the relay: it waited, or carried mails, long enough.
_WORN_OUT = re.compile(r"idle|time(d )? ?out|inactiv|(per|this|one) (session|connection)", re.IGNORECASE)


def _was_stale(failure: RelayFailure) -> bool:
    reply = failure.reply
    if isinstance(failure, Refused):
        worn_out = reply.enhanced == "4.4.2" or _WORN_OUT.search(reply.text) is not None
        return reply.stage == "mail" and reply.code == 421 and worn_out
    return isinstance(failure, Unreachable)


class Connection:
    """One open, secured, signed-in connection, of a `Pool`."""

    def __init__(self, pool: Pool, session: Session) -> None:
        self._pool = pool
        self.session = session

    async def send(self, sender: str, recipient: str, content: bytes) -> Reply:
        """Sends one mail to one recipient; returns the reply that accepted it.

        `content` is the mail in CRLF lines; `sender` may be empty (the null path, RFC 5321, 4.5.5). A reused
        connection that turns out to be dead before any content went out is opened anew, once. Raises Refused,
        Unreachable or Doubtful; ValueError before anything is written when the mail cannot be sent as it is.
        Cancelled, it closes the connection at once.
        """
        mail = Mail.checked(sender, recipient, content)
        try:
            return await self._attempt(mail)
        except RelayFailure as failure:
            raise type(failure)(failure.reply, recipient) from None

    @property
    def window(self) -> int:
        """How many whole mails may be in flight now."""
        return 1

    @property
    def usable(self) -> bool:
        return self.session.usable

    def offers(self, extension: str) -> bool:
        return self.session.offers(extension)

    async def send_all(self, mails: Sequence[Mail], ahead: Mail | None = None) -> list[Reply | RelayFailure]:
        """One result for each mail."""
        results: list[Reply | RelayFailure] = []
        for mail in mails:
            try:
                results.append(await self._attempt(mail))
            except RelayFailure as failure:
                results.append(failure)
        return results

    async def _attempt(self, mail: Mail) -> Reply:
        if self.session.used:
            try:
                return await self._once(mail)
            except (Refused, Unreachable) as failure:
                if not _was_stale(failure):
                    raise
            self.session = await self._pool.open_session()
        return await self._once(mail)

    async def _once(self, mail: Mail) -> Reply:
        session = self.session
        session.used = True
        try:
            return await transact(session, mail, self._pool.content_timeout)
        except Refused as refusal:
            if refusal.reply.code == 421:
                session.abort()
            else:
                await session.reset()
            raise
        except BaseException:
            session.abort()
            raise


class Pool:
    """At most `settings.connections` connections to one relay, opened when needed, kept open and reused."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        content_timeout: float = CONTENT_TIMEOUT,
        idle_limit: float = IDLE_LIMIT,
    ) -> None:
        """Reads the certificates to trust. Raises ValueError when `ca_file` cannot be used."""
        try:
            self._context = ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            raise ValueError(f"no certificates can be read from {settings.ca_file}: {error}") from None
        self._settings = settings
        self._tokens = Tokens(settings.oauth, settings.ca_file) if settings.oauth else None
        self.content_timeout = content_timeout
        self._idle_limit = idle_limit
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[tuple[float, Session]] = []
        self._client_name: str | None = settings.client_name or None
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection that is ready for a mail; waits while all are taken.

        Raises Refused or Unreachable (stages connect, ehlo, starttls, auth) when none can be opened, and
        RuntimeError once the pool is closed.
        """
        async with self._slots:
            if self._closed:
                raise RuntimeError("the pool is closed")
            connection = Connection(self, await self._ready_session())
            try:
                yield connection
            finally:
                await self._take_back(connection.session)

    async def _ready_session(self) -> Session:
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, session = self._idle.pop()  # the last used: the fewer are kept busy, the fewer go stale
            if session.usable and (now - since < self._idle_limit or await session.is_alive()):
                return session
            session.abort()
        return await self.open_session()

    async def open_session(self) -> Session:
        """A new secured connection. Raises Refused or Unreachable."""
        if self._client_name is None:
            self._client_name = await asyncio.to_thread(_own_name)
        session = Session(self._settings, self._context, self._tokens)
        await session.open(self._client_name)
        return session

    async def _take_back(self, session: Session) -> None:
        if not session.usable:
            session.abort()
        elif self._closed:
            await session.quit()
        else:
            self._idle.append((asyncio.get_running_loop().time(), session))

    async def close(self) -> None:
        """Takes leave of the relay, at most 2 s for each connection; those in use close when given back."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for _, session in idle))


def _own_name() -> str:
    name = socket.getfqdn()
    return name if "." in name and not name.startswith("localhost") and name.isascii() else ""
