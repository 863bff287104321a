"""The connections to one relay: opened when needed, kept open and reused.

`session` opens, secures and signs in; `plain` or `pipeline` sends mails over it. If the relay has closed an idle
connection, its mails go over a new one, and none has lost an attempt.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from weakref import WeakSet

import structlog

from scheduler.aside import Aside, Hangs
from scheduler.input.relay_settings import RelaySettings
from scheduler.problem import Problems
from scheduler.redaction import keep_secret
from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import Doubtful, NotBegun, Refused, RelayFailure, Unreachable
from scheduler.smtp.modes import Mode, Modes
from scheduler.smtp.oauth import Tokens
from scheduler.smtp.pipeline import More, Pipeline
from scheduler.smtp.plain import Plain
from scheduler.smtp.replies import Reply
from scheduler.smtp.session import Session
from scheduler.smtp.sign_ins import SignIns
from scheduler.state_dir import StateDir

log = structlog.get_logger()

__all__ = ["Connection", "Doubtful", "Pool", "Refused", "RelayFailure", "RelaySettings", "Unreachable"]

CONTENT_TIMEOUT = 600.0
"""Seconds to wait for the reply after the content (RFC 5321, 4.5.3.2.6): a shorter wait causes duplicates."""
IDLE_LIMIT = 10.0
"""Seconds after which an unused connection is checked with NOOP before it is used again."""
FILE_SECONDS = 5.0
"""Seconds to wait for files of secrets; until they can be read, their earlier contents are used."""
FEWER_SECONDS = 3600.0
"""Seconds for which a limit of mails per connection lasts that was learned from the relay."""

_QUIT_TIMEOUT = 2.0
_NOOP_TIMEOUT = 10.0

# A 421 to MAIL that is about this connection, not the relay: it was idle too long, or has carried too many mails.
_WORN_OUT = re.compile(
    r"^4\.4\.2|idle|time(d )? ?out|inactiv|(per|this|one) (session|connection)", re.IGNORECASE
)
_FULL = re.compile(r"(message|mail|transaction)s?\b.{0,40}\b(session|connection)", re.IGNORECASE)


_Sent = tuple[Mail, Reply | RelayFailure]


def _is_hang_up(result: Reply | RelayFailure, words: re.Pattern[str]) -> bool:
    if not isinstance(result, Refused) or (result.reply.stage, result.reply.code) != ("mail", 421):
        return False
    return words.search(f"{result.reply.enhanced} {result.reply.text}") is not None


def _was_stale(result: Reply | RelayFailure) -> bool:
    return isinstance(result, Unreachable | NotBegun) or _is_hang_up(result, _WORN_OUT)


def _ends_connection(result: Reply | RelayFailure) -> bool:
    return (
        isinstance(result, RelayFailure)
        and result.reply.code in (0, 421)
        and not isinstance(result, NotBegun)
    )


class Connection:
    """An open, secured, signed-in connection of a pool."""

    def __init__(self, pool: Pool, session: Session) -> None:
        self._pool = pool
        self._in_flight: Mode | None = None  # the mode of the mails in flight
        self._use(session)

    def _use(self, session: Session) -> None:
        self.session = session
        self._speaker: Plain | Pipeline = Plain(session, self._pool.content_timeout)

    async def send(self, sender: str, recipient: str, content: bytes) -> Reply:
        """Send one mail to one recipient and return the reply that accepted it.

        `content` is the mail in CRLF lines; `sender` may be empty (the null path, RFC 5321, 4.5.5). Raises Refused,
        Unreachable or Doubtful; ValueError, before anything is written, for an invalid address or line end.
        """
        (result,) = await self.send_all([Mail.checked(sender, recipient, content)])
        if isinstance(result, RelayFailure):
            raise type(result)(result.reply, recipient)
        return result

    @property
    def window(self) -> int:
        """The number of mails that may be in flight now."""
        return max(1, self.room(0))

    def room(self, in_flight: int) -> int:
        """The number of mails that may join the `in_flight` ones now."""
        mode, best = self.mode, self._pool.modes.of(self.session)
        alone = mode is Mode.PLAIN or mode < best  # before BDAT is used, the first mail goes alone, by DATA
        if alone or self._in_flight not in (None, mode) or not self.usable:
            return 0
        limit, window = self._pool.mails_per_connection, self._pool.modes.window
        return min(window - in_flight, limit - self.session.mails if limit else window)

    @property
    def mode(self) -> Mode:
        """The mode of the next mail. A connection that has a pipeline keeps it."""
        mode = self._pool.modes.of(self.session)
        if isinstance(self._speaker, Plain):
            return min(mode, Mode.GROUPS)
        return mode if mode is Mode.CHUNKS and self._speaker.consent else Mode.GROUPS

    @property
    def usable(self) -> bool:
        """Whether more mails may be sent: it is open, below its limit of mails, and in a mode that still works."""
        limit = self._pool.mails_per_connection
        if limit and self.session.mails >= limit:
            return False
        if isinstance(self._speaker, Plain):
            return self._speaker.usable
        return self._speaker.is_open and self._pool.modes.of(self.session) > Mode.PLAIN

    @property
    def is_idle(self) -> bool:
        """Whether it is open and waits for no reply."""
        return self._speaker.usable

    def offers(self, extension: str) -> bool:
        """Whether the relay offers this extension of SMTP."""
        return self.session.offers(extension)

    async def probe(self, sender: str) -> None:
        """Find out whether the relay accepts this sender, by MAIL and RSET. Raises Refused or Unreachable."""
        reply = await self._command(f"MAIL FROM:<{sender}>".encode())
        with suppress(Unreachable):
            if (await self._command(b"RSET")).code // 100 != 2:
                self.abort()
        if reply.code // 100 != 2:
            raise Refused(reply)

    async def is_alive(self) -> bool:
        """Whether the relay answers NOOP; otherwise the connection is closed."""
        try:
            reply = await self._command(b"NOOP", min(self.session.timeout, _NOOP_TIMEOUT))
        except Unreachable:
            return False
        return reply.code // 100 == 2

    async def quit(self) -> None:
        """Send QUIT, wait for the reply for 2 s at most, and close."""
        try:
            await self._command(b"QUIT", _QUIT_TIMEOUT)
        except Unreachable:
            pass
        finally:
            self.abort()

    async def _command(self, line: bytes, within: float | None = None) -> Reply:
        return await self._speaker.command("mail", line, within or self.session.timeout)

    def abort(self) -> None:
        """Close at once and discard buffered data, so that a mail cut short stays cut short."""
        self.session.abort()

    async def send_all(self, mails: Sequence[Mail], more: More | None = None) -> list[Reply | RelayFailure]:
        """Send at most `window` mails: one result for each, in order.

        `more(results)`: called when half of the mails in flight have been answered; returns mails to send next (at
        most `room`). Results passed to it are not returned again.

        If the connection had carried mails and was closed by the relay, mails without content on the wire are sent
        once more, over a new connection. A cancellation closes the connection at once.
        """
        sent = await self._send_once(mails, more)
        stale = [
            number for number, (mail, result) in enumerate(sent) if _was_stale(result) and mail.may_go(False)
        ]
        carried = self.session.mails > len(sent)
        if stale and (carried or any(isinstance(result, Reply) for _, result in sent)):
            again = await self._send_over_a_new_session([sent[number][0] for number in stale])
            for number, one in zip(stale, again, strict=True):
                sent[number] = one
        return [result for _, result in sent]

    async def _send_over_a_new_session(self, mails: Sequence[Mail]) -> list[_Sent]:
        self.abort()
        try:
            self._use(await self._pool.open_session())
        except RelayFailure as failure:
            return [(mail, failure) for mail in mails]
        return await self._send_once(mails)

    async def _send_once(self, mails: Sequence[Mail], more: More | None = None) -> list[_Sent]:
        """Send over the present session. Returns the mails with the results that were not passed to `more`."""
        session, self._in_flight = self.session, self.mode
        adapted = [mail.as_accepted_by(session) for mail in mails]
        session.mails += len(adapted)
        try:
            sent = await self._send_in_mode(self._in_flight, adapted, more)
        except BaseException:
            self.abort()
            raise
        finally:
            self._in_flight = None
        for number, (_, result) in enumerate(sent, session.mails - len(sent)):
            if _is_hang_up(result, _FULL):
                self._pool.note_limit(number)
        if any(_ends_connection(result) for _, result in sent):
            self.abort()
        return sent

    async def _send_in_mode(self, mode: Mode, mails: Sequence[Mail], more: More | None) -> list[_Sent]:
        if isinstance(self._speaker, Plain):
            if mode is Mode.PLAIN:
                return [(mail, await self._speaker.send(mail)) for mail in mails]
            self._speaker = Pipeline(self.session, self._pool.content_timeout)
        pipeline, modes, left = self._speaker, self._pool.modes, list(mails)
        began = asyncio.get_running_loop().time()

        async def join(results: list[Reply | RelayFailure]) -> Sequence[Mail]:
            modes.note(mode, pipeline, began, results)
            del left[: len(results)]
            joining = await more(results) if more else []
            left.extend(joining)
            self.session.mails += len(joining)
            return joining

        results = await pipeline.send(mails, in_chunks=mode is Mode.CHUNKS, more=join if more else None)
        modes.note(mode, pipeline, began, results)
        return list(zip(left, results, strict=True))


class Pool:
    """At most `settings.connections` connections to one relay.

    Files of secrets and certificates are read whenever a connection is opened.
    """

    def __init__(
        self,
        settings: RelaySettings,
        *,
        state: StateDir | None = None,
        content_timeout: float = CONTENT_TIMEOUT,
        idle_limit: float = IDLE_LIMIT,
    ) -> None:
        """`state`: where renewed refresh tokens are stored. Raises ValueError if `ca_file` cannot be used."""
        self._settings = settings
        self._authorities = _content(settings.ca_file)
        self._context = _trusted(settings)
        self._tokens = Tokens(settings.oauth, settings.ca_file, state) if settings.oauth else None
        proof = [state.path(proof_of(settings))] if state else []
        self._watched = [*proof, *settings.files]
        self._stamps = _stamps(self._watched)
        self._files = Aside("the folder of secrets and certificates", FILE_SECONDS)
        self._unread = ""  # the files that can't be used as they are
        self._refused = ""  # the settings with which no connection can be opened
        self.content_timeout = content_timeout
        self.modes = Modes(settings)
        self._fewer: tuple[int, float] | None = (
            None  # mails per connection, and until when (the loop's clock)
        )
        self._idle_limit = idle_limit
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[tuple[float, Connection]] = []
        self._connections: WeakSet[Connection] = WeakSet()
        self._sign_ins = SignIns(lambda: any(one.is_idle for one in self._connections))
        self._client_name: str | None = settings.client_name or None
        self._extensions: set[str] = set()  # offered by any machine behind the relay's name
        self._closed = False
        keep_secret(settings.password)

    @property
    def troubles(self) -> tuple[str, ...]:
        """Problems with files and secrets that do not stop mails yet, in words that are safe to show."""
        renewal = self._tokens.trouble if self._tokens else ""
        return tuple(filter(None, (self._unread, self._refused, renewal)))

    async def look_again(self) -> bool:
        """Whether to try the relay again at once: files of secrets or certificates have new contents that can be used,
        or a command has sent a mail over this relay."""
        try:
            stamps = await self._files.run(lambda: _stamps(self._watched))
        except Hangs:
            return False
        before, self._stamps = self._stamps, stamps
        if before == self._stamps:
            return False
        files = len(self._settings.files)
        proven = before[:-files] != self._stamps[:-files] if files else True
        return await self._read_again() or proven

    async def _read_again(self) -> bool:
        """Read the files of secrets and certificates; if they can't be used, keep their earlier contents. Returns
        whether anything has changed."""
        before = self._settings
        if not (before.read_again and before.files):
            return False
        try:
            settings, authorities = await self._files.run(partial(_read, before.read_again))
            if new_authorities := authorities != self._authorities:
                self._context = _trusted(settings)
            if self._tokens and settings.oauth:
                self._tokens.use(settings.oauth, settings.ca_file, new_authorities=new_authorities)
        except (Problems, ValueError, OSError) as error:
            problems = error.problems if isinstance(error, Problems) else [_in_words(error)]
            words = "; ".join(map(str, problems))
            if words != self._unread:
                log.error("files of secrets or certificates not used", relay=before.name, reason=words)
            self._unread = f"{words} (the earlier contents are still used)"
            return False
        self._unread = ""
        self._settings, self._authorities = settings, authorities
        keep_secret(settings.password)
        return settings != before or new_authorities

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection that is ready for a mail; waits while all are in use.

        Raises Refused or Unreachable (stages connect, ehlo, starttls, auth) when none can be opened, and
        RuntimeError once the pool is closed.
        """
        async with self._slots:
            if self._closed:
                raise RuntimeError("the pool is closed")
            connection = await self._idle_or_new()
            try:
                yield connection
            finally:
                await self._take_back(connection)

    @property
    def mails_per_connection(self) -> int:
        """The number of mails after which a connection is closed; 0: no limit."""
        if self._fewer and asyncio.get_running_loop().time() >= self._fewer[1]:
            self._fewer = None
        return self._fewer[0] if self._fewer else self._settings.mails_per_connection

    def note_limit(self, mails: int) -> None:
        """Note that the relay closed a connection because it had carried this many mails."""
        if mails and not 0 < self.mails_per_connection <= mails:
            self._fewer = mails, asyncio.get_running_loop().time() + FEWER_SECONDS

    async def _idle_or_new(self) -> Connection:
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, one = self._idle.pop()  # the last one used: few connections in use means few that go stale
            if one.is_idle and one.usable and (now - since < self._idle_limit or await one.is_alive()):
                return one
            one.abort()
        connection = Connection(self, await self.open_session())
        self._connections.add(connection)
        return connection

    async def open_session(self) -> Session:
        """A new secured connection. Raises Refused or Unreachable."""
        turn = partial(self._sign_ins.turn, asyncio.get_running_loop().time())
        if self._client_name is None:
            self._client_name = await asyncio.to_thread(_own_name)
        await self._read_again()
        session = Session(self._settings, self._context, self._tokens, self._extensions)
        try:
            await session.open(self._client_name, turn)
        except RelayFailure as failure:
            self._refused = self._blamed(failure)
            raise
        self._refused = ""
        return session

    def _blamed(self, failure: RelayFailure) -> str:
        """The settings that are to blame for this failure, in words; "" if none are."""
        if failure.reply.stage == "auth":
            names = " and ".join(self._settings.secrets_from) or "what is set"
            return f"can't sign in with {names}: {failure}"
        if not failure.reply.code and "certificate" in failure.reply.text:
            authorities = self._settings.ca_file or "the system's authorities"
            return f"the relay's certificate cannot be verified by {authorities}: {failure}"
        return ""

    async def _take_back(self, connection: Connection) -> None:
        if not connection.is_idle:
            connection.abort()
        elif self._closed or not connection.usable:
            await connection.quit()
        else:
            self._idle.append((asyncio.get_running_loop().time(), connection))

    async def close(self) -> None:
        """Close idle connections, within 2 s each; the others close when they are returned."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for _, connection in idle))


def proof_of(settings: RelaySettings) -> str:
    """The name of the file in STATE_DIR that a command writes when this relay has accepted a mail: a service that has
    paused the relay then tries again."""
    return f"relay-{hashlib.sha256(settings.account.encode()).hexdigest()[:16]}"


def _read(read_again: Callable[[], RelaySettings]) -> tuple[RelaySettings, bytes]:
    settings = read_again()
    return settings, _content(settings.ca_file)


def _in_words(error: Exception) -> str:
    return error.strerror or "they can't be read now" if isinstance(error, OSError) else str(error)


def _stamps(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    return [_stamp(file) for file in files]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Values that change when the file is written or replaced, also behind a link; None: it can't be read."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _content(ca_file: str | None) -> bytes:
    try:
        return Path(ca_file).read_bytes() if ca_file else b""
    except OSError:
        return b""


def _trusted(settings: RelaySettings) -> ssl.SSLContext | None:
    """The TLS context; None without TLS, as the system's certificates take long to read."""
    if settings.tls == "none" and not settings.ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ValueError(f"no certificates can be read from {settings.ca_file}: {error}") from None


def _own_name() -> str:
    name = socket.getfqdn()
    return name if "." in name and not name.startswith("localhost") and name.isascii() else ""
