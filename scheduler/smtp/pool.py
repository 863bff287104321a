"""The connections to one relay: ready, kept open and reused, each of which sends one mail after another.

`session` opens, secures and signs in; `plain` or `pipeline` sends mails over it. A relay that hung up on an idle
connection costs no mail its attempt.
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
"""Seconds to wait for the reply after the content (RFC 5321, 4.5.3.2.6): giving up sooner makes doubles."""
IDLE_LIMIT = 10.0
"""Seconds after which an unused connection is asked whether it still lives before a mail is given to it."""
FILE_SECONDS = 5.0
"""How long files of secrets are waited for; until they can be read, what they held before is used."""
FEWER_SECONDS = 3600.0
"""How long a connection carries no more mails than the one on which the relay said that it had enough."""

_QUIT_TIMEOUT = 2.0
_NOOP_TIMEOUT = 10.0

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
    return isinstance(result, Unreachable | NotBegun) or _is_hang_up(result, _WORN_OUT)


def _ends_connection(result: Reply | RelayFailure) -> bool:
    return (
        isinstance(result, RelayFailure)
        and result.reply.code in (0, 421)
        and not isinstance(result, NotBegun)
    )


class Connection:
    """An open, secured, signed-in connection of a pool, over which mails are sent in the mode of the moment."""

    def __init__(self, pool: Pool, session: Session) -> None:
        self._pool = pool
        self._in_flight: Mode | None = None  # how the mails that are in flight go
        self._use(session)

    def _use(self, session: Session) -> None:
        self.session = session
        self._speaker: Plain | Pipeline = Plain(session, self._pool.content_timeout)

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
        """How many mails may be in flight now: `sending`, and on their way one after another."""
        return max(1, self.room(0))

    def room(self, in_flight: int) -> int:
        """How many mails may join the `in_flight` ones now."""
        mode, best = self.mode, self._pool.modes.of(self.session)
        alone = mode is Mode.PLAIN or mode < best  # before BDAT the first mail goes alone, by DATA
        if alone or self._in_flight not in (None, mode) or not self.usable:
            return 0
        limit, window = self._pool.mails_per_connection, self._pool.modes.window
        return min(window - in_flight, limit - self.session.mails if limit else window)

    @property
    def mode(self) -> Mode:
        """How the next mail goes. A pipeline stays one: a session that was taken over is not given back."""
        mode = self._pool.modes.of(self.session)
        if isinstance(self._speaker, Plain):
            return min(mode, Mode.GROUPS)
        return mode if mode is Mode.CHUNKS and self._speaker.consent else Mode.GROUPS

    @property
    def usable(self) -> bool:
        """Whether more mails may be sent here: open, not worn out, and no faster than the relay bears."""
        limit = self._pool.mails_per_connection
        if limit and self.session.mails >= limit:
            return False
        if isinstance(self._speaker, Plain):
            return self._speaker.usable
        return self._speaker.is_open and self._pool.modes.of(self.session) > Mode.PLAIN

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and no reply or mail is still to come."""
        return self._speaker.usable

    def offers(self, extension: str) -> bool:
        """Whether the relay named this extension of SMTP."""
        return self.session.offers(extension)

    async def ask(self, sender: str) -> None:
        """Find out whether the relay takes mails from this sender; none is sent. Raises Refused or Unreachable."""
        reply = await self._command(f"MAIL FROM:<{sender}>".encode())
        with suppress(Unreachable):
            if (await self._command(b"RSET")).code // 100 != 2:
                self.abort()
        if reply.code // 100 != 2:
            raise Refused(reply)

    async def is_alive(self) -> bool:
        """Whether the relay still answers; if not, the connection is closed."""
        try:
            reply = await self._command(b"NOOP", min(self.session.timeout, _NOOP_TIMEOUT))
        except Unreachable:
            return False
        return reply.code // 100 == 2

    async def quit(self) -> None:
        """Takes leave, without waiting long for an answer, and closes."""
        try:
            await self._command(b"QUIT", _QUIT_TIMEOUT)
        except Unreachable:
            pass
        finally:
            self.abort()

    async def _command(self, line: bytes, within: float | None = None) -> Reply:
        return await self._speaker.command("mail", line, within or self.session.timeout)

    def abort(self) -> None:
        """Closes at once. What is still in our buffers never leaves, so a mail cut short stays cut short."""
        self.session.abort()

    async def send_all(self, mails: Sequence[Mail], more: More | None = None) -> list[Reply | RelayFailure]:
        """Send at most `window` mails: one result for each, in order.

        `more(results)`: called when half of the mails in flight have been answered; returns mails to send next (at
        most `room`). Results passed to it are not returned again.

        Mails of which no content went out, because a connection that had carried mails was dead, go over a new one,
        once. Cancelled, it closes the connection at once.
        """
        left = list(mails)
        results = await self._once(left, more)
        stale = [
            number
            for number, result in enumerate(results)
            if _was_stale(result) and left[number].may_go(False)
        ]
        carried = self.session.mails > len(left)
        if stale and (carried or any(isinstance(one, Reply) for one in results)):
            again = await self._over_a_new_session([left[number] for number in stale])
            for number, result in zip(stale, again, strict=True):
                results[number] = result
        return results

    async def _over_a_new_session(self, mails: list[Mail]) -> list[Reply | RelayFailure]:
        self.abort()
        try:
            self._use(await self._pool.open_session())
        except RelayFailure as failure:
            return [failure] * len(mails)
        return await self._once(mails)

    async def _once(self, mails: list[Mail], more: More | None = None) -> list[Reply | RelayFailure]:
        """On return `mails` holds those whose results are returned."""
        session, mode = self.session, self.mode
        mails[:] = [mail.as_taken_by(session) for mail in mails]
        session.mails += len(mails)
        self._in_flight = mode
        try:
            results = await self._speak(mode, mails, more)
        except BaseException:
            self.abort()
            raise
        finally:
            self._in_flight = None
        for number, result in enumerate(results, session.mails - len(mails)):
            if _is_hang_up(result, _FULL):
                self._pool.note_limit(number)
        if any(_ends_connection(one) for one in results):
            self.abort()
        return results

    async def _speak(self, mode: Mode, mails: list[Mail], more: More | None) -> list[Reply | RelayFailure]:
        if isinstance(self._speaker, Plain):
            if mode is Mode.PLAIN:
                return [await self._speaker.send(mail) for mail in mails]
            self._speaker = Pipeline(self.session, self._pool.content_timeout)
        pipeline, modes = self._speaker, self._pool.modes
        began = asyncio.get_running_loop().time()

        async def join(results: list[Reply | RelayFailure]) -> Sequence[Mail]:
            modes.note(mode, pipeline, began, results)
            del mails[: len(results)]
            joining = await more(results) if more else []
            mails.extend(joining)
            self.session.mails += len(joining)
            return joining

        results = await pipeline.send(mails, in_chunks=mode is Mode.CHUNKS, more=join if more else None)
        modes.note(mode, pipeline, began, results)
        return results


class Pool:
    """At most `settings.connections` connections to one relay, opened when needed, kept open and reused.

    What signs in and whom to trust is read when a connection is opened: from its files as they are then.
    """

    def __init__(
        self,
        settings: RelaySettings,
        *,
        state: StateDir | None = None,
        content_timeout: float = CONTENT_TIMEOUT,
        idle_limit: float = IDLE_LIMIT,
    ) -> None:
        """Reads the certificates to trust. `state` keeps refresh tokens that were renewed. Raises ValueError when
        `ca_file` cannot be used."""
        self._settings = settings
        self._authorities = _content(settings.ca_file)
        self._context = _trusted(settings)
        self._tokens = Tokens(settings.oauth, settings.ca_file, state) if settings.oauth else None
        proof = [state.path(proof_of(settings))] if state else []
        self._watched = [*proof, *settings.files]
        self._stamps = _stamps(self._watched)
        self._files = Aside("the folder of secrets and certificates", FILE_SECONDS)
        self._unread = ""  # which files can't be used as they are
        self._refused = ""  # which settings no connection comes about with
        self.content_timeout = content_timeout
        self.modes = Modes(settings)
        self._fewer: tuple[int, float] | None = None  # mails on a connection, until when on the loop's clock
        self._idle_limit = idle_limit
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[tuple[float, Connection]] = []
        self._connections: WeakSet[Connection] = WeakSet()
        self._sign_ins = SignIns(lambda: any(one.is_idle for one in self._connections))
        self._client_name: str | None = settings.client_name or None
        self._extensions: set[str] = set()  # that any machine behind the relay's name has named
        self._closed = False
        keep_secret(settings.password)

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the files and secrets, though mails may go out; in words that are safe to show."""
        renewal = self._tokens.trouble if self._tokens else ""
        return tuple(filter(None, (self._unread, self._refused, renewal)))

    async def look_again(self) -> bool:
        """Whether it is time to try again: the files of secrets and certificates hold something else that can be used,
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
        """Go by the files as they are, if they can be used, else by what they held before. Returns whether anything is
        different."""
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
            self._unread = f"{words} (what it held before is still used)"
            return False
        self._unread = ""
        self._settings, self._authorities = settings, authorities
        keep_secret(settings.password)
        return settings != before or new_authorities

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection that is ready for a mail; waits while all are taken.

        Raises Refused or Unreachable (stages connect, ehlo, starttls, auth) when none can be opened, and
        RuntimeError once the pool is closed.
        """
        async with self._slots:
            if self._closed:
                raise RuntimeError("the pool is closed")
            connection = await self._ready()
            try:
                yield connection
            finally:
                await self._take_back(connection)

    @property
    def mails_per_connection(self) -> int:
        """After so many a connection is closed; 0: never."""
        if self._fewer and asyncio.get_running_loop().time() >= self._fewer[1]:
            self._fewer = None
        return self._fewer[0] if self._fewer else self._settings.mails_per_connection

    def note_limit(self, mails: int) -> None:
        """The relay hung up on a connection because it had carried so many."""
        if mails and not 0 < self.mails_per_connection <= mails:
            self._fewer = mails, asyncio.get_running_loop().time() + FEWER_SECONDS

    async def _ready(self) -> Connection:
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, one = self._idle.pop()  # the last used: the fewer are kept busy, the fewer go stale
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
        """The settings that are at fault when no connection comes about, if some are."""
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
        """Takes leave of the relay, at most 2 s for each connection; those in use close when given back."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for _, connection in idle))


def proof_of(settings: RelaySettings) -> str:
    """The file in STATE_DIR that a command writes when this relay has taken a mail: a service that leaves the relay
    alone then tries again."""
    return f"relay-{hashlib.sha256(settings.account.encode()).hexdigest()[:16]}"


def _read(read_again: Callable[[], RelaySettings]) -> tuple[RelaySettings, bytes]:
    settings = read_again()
    return settings, _content(settings.ca_file)


def _in_words(error: Exception) -> str:
    return error.strerror or "they can't be read now" if isinstance(error, OSError) else str(error)


def _stamps(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """By which a file that was written or replaced, also behind a link, is told from the one before."""
    return [_stamp(file) for file in files]


def _stamp(file: Path) -> tuple[int, int, int] | None:
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
