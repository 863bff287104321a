"""The relay: connections that are ready, kept open and reused, each of which sends one mail after another.

`session` opens, secures and signs in; `transaction` speaks one mail; here they are put together, so that a
relay which hung up on an idle connection costs no mail its attempt.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from scheduler.delivery.oauth import Tokens
from scheduler.delivery.replies import Reply
from scheduler.delivery.session import Doubtful, Refused, RelayFailure, RelaySettings, Session, Unreachable
from scheduler.delivery.transaction import Mail, transact
from scheduler.delivery.ways import Way, Ways
from scheduler.delivery.wire import More, Wire

__all__ = ["Connection", "Doubtful", "Pool", "Refused", "RelayFailure", "RelaySettings", "Unreachable"]

CONTENT_TIMEOUT = 600.0
"""Seconds to wait for the reply after the content (RFC 5321, 4.5.3.2.6): giving up sooner makes doubles."""
IDLE_LIMIT = 10.0
"""Seconds after which an unused connection is asked whether it still lives before a mail is given to it."""

# A 421 to MAIL that is about this connection, not the relay: it waited, or carried mails, long enough.
_WORN_OUT = re.compile(
    r"^4\.4\.2|idle|time(d )? ?out|inactiv|(per|this|one) (session|connection)", re.IGNORECASE
)
_FULL = re.compile(r"(message|mail|transaction)s?\b.{0,40}\b(session|connection)", re.IGNORECASE)


def _is_hang_up(result: Reply | RelayFailure, words: re.Pattern[str]) -> bool:
    if not isinstance(result, Refused) or (result.reply.stage, result.reply.code) != ("mail", 421):
        return False
    return words.search(f"{result.reply.enhanced} {result.reply.text}") is not None


def _was_stale(result: Reply | RelayFailure) -> bool:
    return isinstance(result, Unreachable) or _is_hang_up(result, _WORN_OUT)


class Connection:
    """One open, secured, signed-in connection, of a `Pool`."""

    def __init__(self, pool: Pool, session: Session) -> None:
        self._pool = pool
        self.session = session

    async def send(self, sender: str, recipient: str, content: bytes) -> Reply:
        """Sends one mail to one recipient; returns the reply that accepted it.

        `content` is the mail in CRLF lines; `sender` may be empty (the null path, RFC 5321, 4.5.5). Raises Refused,
        Unreachable or Doubtful; ValueError before anything is written when the mail cannot be sent as it is.
        """
        (result,) = await self.send_all([Mail.checked(sender, recipient, content)])
        if isinstance(result, RelayFailure):
            raise type(result)(result.reply, recipient)
        return result

    @property
    def window(self) -> int:
        """How many whole mails may be in flight now."""
        return max(1, self.room(0))

    def room(self, in_flight: int) -> int:
        """How many whole mails may join so many that are in flight now."""
        if self._way is not Way.CHUNKS or not self.usable:
            return 0
        limit, window = self._pool.mails_per_connection, self._pool.ways.window
        return min(window - in_flight, limit - self.session.mails if limit else window)

    @property
    def usable(self) -> bool:
        """Whether more mails may be sent here."""
        return self._pool.keeps(self.session)

    @property
    def _way(self) -> Way:
        way, wire = self._pool.ways.of(self.session), self.session.wire
        if way is Way.CHUNKS and not (wire and wire.takes_chunks):
            return Way.GROUPS
        return max(way, Way.GROUPS) if wire else way  # what was taken over is not given back

    def offers(self, extension: str) -> bool:
        """Whether the relay named this extension of SMTP."""
        return self.session.offers(extension)

    async def send_all(
        self, mails: Sequence[Mail], ahead: Mail | None = None, more: More | None = None
    ) -> list[Reply | RelayFailure]:
        """Send at most `window` mails: one result for each, in order. `ahead`: what will most likely come next here.

        `more(results)`: called when half of the mails in flight have been answered; returns mails to send next (at
        most `room`). Results passed to it are not returned again.

        Mails of which no content went out, because a connection that had carried mails was dead, go over a new one,
        once. Cancelled, it closes the connection at once.
        """
        left = list(mails)
        results = await self._once(left, ahead, more)
        stale = [number for number, result in enumerate(results) if _was_stale(result)]
        carried = self.session.mails > len(left)
        if stale and (carried or any(isinstance(one, Reply) for one in results)):
            again = await self._over_a_new_connection([left[number] for number in stale], ahead)
            for number, result in zip(stale, again, strict=True):
                results[number] = result
        return results

    async def _over_a_new_connection(
        self, mails: list[Mail], ahead: Mail | None
    ) -> list[Reply | RelayFailure]:
        self.session.abort()
        try:
            self.session = await self._pool.open_session()
        except RelayFailure as failure:
            return [failure] * len(mails)
        return await self._once(mails, ahead)

    async def _once(
        self, mails: list[Mail], ahead: Mail | None, more: More | None = None
    ) -> list[Reply | RelayFailure]:
        """In the end `mails` holds those whose results are returned."""
        session, way, began = self.session, self._way, asyncio.get_running_loop().time()
        session.mails += len(mails)

        async def tell(results: list[Reply | RelayFailure]) -> Sequence[Mail]:
            self._pool.ways.note(way, session, began, results)
            del mails[: len(results)]
            joining = await more(results) if more else []
            mails.extend(joining)
            session.mails += len(joining)
            return joining

        try:
            results = await self._speak(way, mails, ahead, tell if more else None)
        except BaseException:
            session.abort()
            raise
        self._pool.ways.note(way, session, began, results)
        for number, result in enumerate(results, session.mails - len(mails)):
            if _is_hang_up(result, _FULL):
                self._pool.note_limit(number)
        if any(isinstance(one, RelayFailure) and one.reply.code in (0, 421) for one in results):
            session.abort()
        return results

    async def _speak(
        self, way: Way, mails: Sequence[Mail], ahead: Mail | None, more: More | None
    ) -> list[Reply | RelayFailure]:
        patience = self._pool.content_timeout
        if way is Way.PLAIN:
            return [await self._plain(mail) for mail in mails]
        wire = self.session.wire or Wire(self.session)
        if way is Way.CHUNKS:
            return await wire.send_chunks(mails, patience, more)
        # Nothing is announced that will go over another connection, or in chunks.
        goes_on = self.usable and self._pool.ways.of(self.session) is Way.GROUPS
        following = [*mails[1:], ahead if goes_on else None]
        return [
            await wire.send_data(mail, after, patience) for mail, after in zip(mails, following, strict=True)
        ]

    async def _plain(self, mail: Mail) -> Reply | RelayFailure:
        try:
            return await transact(self.session, mail, self._pool.content_timeout)
        except Refused as refusal:
            if refusal.reply.code != 421:
                await self.session.reset()
            return refusal
        except RelayFailure as failure:
            return failure


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
        self._settings = settings
        self._context = _trusted(settings)
        self._tokens = Tokens(settings.oauth, settings.ca_file) if settings.oauth else None
        self.content_timeout = content_timeout
        self.mails_per_connection = settings.mails_per_connection
        self.ways = Ways(settings)
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

    def keeps(self, session: Session) -> bool:
        """Whether the connection is open, may carry more mails, and speaks no faster than its relay bears."""
        limit, wire = self.mails_per_connection, session.wire
        if limit and session.mails >= limit:
            return False
        return wire.is_open and self.ways.of(session) > Way.PLAIN if wire else session.usable

    def note_limit(self, mails: int) -> None:
        """The relay hung up on a connection because it had carried so many."""
        if mails and not 0 < self.mails_per_connection <= mails:
            self.mails_per_connection = mails

    async def _ready_session(self) -> Session:
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, session = self._idle.pop()  # the last used: the fewer are kept busy, the fewer go stale
            if (
                session.usable
                and self.keeps(session)
                and (now - since < self._idle_limit or await session.is_alive())
            ):
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
        elif self._closed or not self.keeps(session):
            await session.quit()
        else:
            self._idle.append((asyncio.get_running_loop().time(), session))

    async def close(self) -> None:
        """Takes leave of the relay, at most 2 s for each connection; those in use close when given back."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for _, session in idle))


async def send_one(pools: Iterable[Pool], sender: str, recipient: str, content: bytes) -> str:
    """Send one mail that is no delivery, such as a test or an alert, over the first of these relays that takes it.
    Returns why none did, in the first one's words, or "". What may have been taken is not tried again."""
    why = ""
    for pool in pools:
        try:
            async with pool.connection() as connection:
                await connection.send(sender, recipient, content)
        except RelayFailure as failure:
            why = why or str(failure)
            if isinstance(failure, Doubtful):
                break
        else:
            return ""
    return why


def _trusted(settings: RelaySettings) -> ssl.SSLContext | None:
    """None where nothing is encrypted: the system's certificates are many, and take long to read."""
    if settings.tls == "none" and not settings.ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ValueError(f"no certificates can be read from {settings.ca_file}: {error}") from None


def _own_name() -> str:
    name = socket.getfqdn()
    return name if "." in name and not name.startswith("localhost") and name.isascii() else ""
