"""The relays, in order of preference, and how each of them stands; single mails that are no deliveries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from scheduler.database.engine import Database
from scheduler.delivery.pace import DayIsFull, Pace
from scheduler.delivery.results import Effect, refuses_connection
from scheduler.input.relay_settings import RelaySettings
from scheduler.smtp.failures import Doubtful, RelayFailure
from scheduler.smtp.pool import Pool
from scheduler.smtp.replies import OPENING, Reply, Stage, Verdict, asks_for_less, backoff, classify
from scheduler.state_dir import StateDir

log = structlog.get_logger()

SILENT_SECONDS = 30.0
"""A reply may take minutes (RFC 5321, 4.5.3.2), and is waited for; but then people should know, and others be asked."""
ANOTHER_SECONDS = 300.0
"""How often one more connection is tried than the relay last accepted."""
STOP_PAUSE = timedelta(minutes=5)
"""Between tries of a relay that takes nobody's mail."""
FIRST_STOP_PAUSES = (timedelta(seconds=15), timedelta(minutes=1))
"""Before the first tries of one that lets nobody in: a password is often changed there some seconds after it is here.
No more of them, for who goes on with a wrong one is locked out."""
FORGOTTEN_AFTER = timedelta(hours=1)
DOUBT_PAUSE = timedelta(minutes=1)
"""Between tries of one that refused many alike."""


class Standing:
    """Well, or left alone until some instant, and why.

    A relay in trouble costs no mail its attempts: nothing is sent until it is tried again, by one mail.
    """

    def __init__(self) -> None:
        self.trouble = ""  # in words without personal data
        self.stopped = False  # by a reply that only the operator can do something about
        self.rests = False  # its day is full
        self.paused_until: datetime | None = None
        self._stage: Stage | None = None  # where a reply paused it
        self._failures = 0
        self._stops = 0
        self._met_by: dict[Verdict, object] = {}  # the first recipient who met what may concern all

    def is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and now < self.paused_until

    def well(self) -> None:
        """A mail was accepted."""
        self.__init__()  # type: ignore[misc]

    def verdict(self, recipient: object, reply: Reply) -> Verdict:
        """What this reply to a mail to this recipient means. One registrant's name may trip a filter, one mailbox be
        short of something: what a mail itself met concerns all only when one to a second recipient meets it, too."""
        found = classify(reply)
        about_the_mail = reply.stage in ("rcpt", "data", "content") and reply.code not in (0, 421)
        if found not in (Verdict.STOP, Verdict.PAUSE_RELAY) or not about_the_mail:
            return found
        return Verdict.RETRY_MAIL if self._met_by.setdefault(found, recipient) == recipient else found

    @property
    def refuses_everybody(self) -> bool:
        """Whether it stopped before any recipient or content was named: a connection and MAIL show whether it still
        does."""
        return self.stopped and self._stage in (*OPENING, "mail")

    def wants_asking(self, now: datetime) -> bool:
        """Whether it refused before any recipient was named, and it is time to find out whether it still does."""
        return self._stage in (*OPENING, "mail") and not self.is_paused(now)

    def look(self, now: datetime) -> None:
        """Forget what is over by itself: a full day, and a trouble of some mail that no other has met in an hour, for
        another relay takes them, or none is due."""
        if self.paused_until is None or self.stopped:
            return
        if (self.rests and now >= self.paused_until) or now - self.paused_until > FORGOTTEN_AFTER:
            self.well()

    def proven(self) -> None:
        """It took a mail that is no delivery. What it refuses to everybody, it refuses no longer; where it refused
        recipients or contents, a mail to a registrant has to show it, and may do so at once."""
        if self._stage in (*OPENING, "mail"):
            self.well()
        else:
            self.try_again()

    def try_again(self) -> None:
        """Do not wait any longer before the next try, by one mail; what was agreed upon is waited for."""
        if self._stage:
            self.paused_until = None

    def pause(
        self,
        now: datetime,
        words: str,
        verdict: Verdict,
        stage: Stage = "content",
        named: datetime | None = None,
    ) -> datetime:
        """Leave it alone for a while, longer each time, and not less than until `named`, which a reply named. Returns
        until when. `stage`: where the reply came that says so. Mails that meet the same trouble together are one
        failure, not many."""
        stops = verdict is Verdict.STOP and not self.stopped
        if self.paused_until and self.is_paused(now) and not stops:
            self.paused_until = max(self.paused_until, named or now)
            return self.paused_until
        if verdict is Verdict.STOP:
            soon = FIRST_STOP_PAUSES[self._stops :] if stage in OPENING else ()
            until = now + next(iter(soon), STOP_PAUSE)
            self._stops += 1
        else:
            self._failures += 1
            until = now + wait(self._failures) / 10
        self.paused_until = max(until, named or until)
        self.trouble, self._stage, self.rests = words, stage, False
        self.stopped = self.stopped or verdict is Verdict.STOP
        return self.paused_until

    def doubt(self, now: datetime, words: str) -> None:
        """It refused recipients alike, one after the other. Unlike a relay that says itself that it takes nobody's
        mail, it is tried again soon: they may all have been wrong, and the next one not."""
        if not self.stopped:
            self.pause(now, words, Verdict.STOP)
            self.paused_until = now + DOUBT_PAUSE
        elif not self.is_paused(now):
            self.paused_until = now + DOUBT_PAUSE

    def rest(self, until: datetime, words: str) -> None:
        """Leave it alone until then, by agreement: its day is full."""
        self.paused_until, self.trouble, self._stage, self.rests = until, words, None, True


@dataclass
class Relay:
    """One relay: connections to it, the pace that it allows, and how it stands."""

    name: str
    pool: Pool
    pace: Pace
    connections: int
    standing: Standing = field(default_factory=Standing)
    _workers: int = 0  # who have a connection, or open one
    _most: int | None = None  # connections that it bore when it refused one more; None: it refused none
    _refused_at: float = 0.0  # on the loop's clock
    _asked: dict[object, float] = field(
        default_factory=dict
    )  # since when who waits for it, on the loop's clock
    _opening: int = 0
    woken: Callable[[], None] = lambda: None
    """Called when it may take mails before its pause is over."""

    @classmethod
    def of(cls, settings: RelaySettings, database: Database | None, state: StateDir) -> Relay:
        """Over `database` its limits are shared with other services; None: they are this process's own."""
        pace = Pace(settings.per_minute, settings.per_day, database=database, account=settings.account)
        return cls(settings.name, Pool(settings, state=state), pace, settings.connections)

    @contextmanager
    def works(self) -> Iterator[None]:
        """Around whatever opens a connection and uses it."""
        self._workers += 1
        try:
            yield
        finally:
            self._workers -= 1

    @property
    def allowed(self) -> int:
        """How many connections there may be now."""
        if self._most is None:
            return self.connections
        more = int((asyncio.get_running_loop().time() - self._refused_at) / ANOTHER_SECONDS)
        return min(self.connections, self._most + more)

    @property
    def has_others(self) -> bool:
        """Whether there are other connections than the one of whoever asks, inside `works`."""
        return self._workers > 1

    def has_enough(self, reply: Reply) -> bool:
        """Whether this reply, inside `works`, refuses a connection while others are open or about to be. Then no more
        than those are allowed for a while."""
        return refuses_connection(reply) and self._limit_connections()

    def _limit_connections(self) -> bool:
        """Allow no more connections than the others, after one was refused. Returns whether there are others: if not,
        the relay refuses everybody, and bears as many as ever when it is back."""
        if not self.has_others:
            self._most = None
            return False
        self._most = min(self.allowed, self._workers - 1)
        self._refused_at = asyncio.get_running_loop().time()
        log.info("relay refuses more connections", relay=self.name, connections=self._most)
        return True

    def apply(self, effect: Effect, now: datetime) -> datetime | None:
        """Apply the effect of a result. Returns the end of the pause that it causes, if any."""
        if effect.accepted:
            self.standing.well()
        if effect.refuses_connection:
            self._limit_connections()
        if effect.slows:
            self.pace.slow_down()
        if pause := effect.pause:
            return self.standing.pause(now, effect.words, pause.verdict, pause.stage, pause.named)
        return None

    @contextmanager
    def waits(self, *, opening: bool = False) -> Iterator[Callable[[bool], None]]:
        """Around whatever waits for what the relay says. Gives what to call when it has said something: whether it is
        its turn again, or whoever waits is busy with something else, as with the ledger. `opening`: a connection,
        before any mail."""
        who, loop = object(), asyncio.get_running_loop()

        def heard(its_turn: bool) -> None:
            self._asked.pop(who, None)
            if its_turn:
                self._asked[who] = loop.time()

        heard(True)
        self._opening += opening
        try:
            yield heard
        finally:
            heard(False)
            self._opening -= opening

    def proven(self) -> None:
        """It took a mail that is no delivery."""
        self.standing.proven()
        self.woken()

    async def ask(self, now: datetime, sender: str) -> None:
        """Where it refused everybody, find out whether it still does, though no mail is due over it that would show it:
        by a connection, and by MAIL from this sender ("": nobody is known). Raises RelayFailure."""
        self.standing.look(now)
        if not self.standing.wants_asking(now) or self._workers:
            return
        with self.works():
            async with self.pool.connection() as connection:
                if sender:
                    await connection.ask(sender)
        self.proven()

    async def look_at_files(self) -> None:
        """Where what signs in or whom to trust was changed, try at once."""
        if await self.pool.look_again():
            self.standing.try_again()
            self.woken()

    @property
    def silence(self) -> float:
        """Seconds since which every one waits, if that is too long; else 0."""
        if not self._opening and len(self._asked) < self.allowed:
            return 0.0
        seconds = asyncio.get_running_loop().time() - max(self._asked.values())
        return seconds if seconds > SILENT_SECONDS else 0.0

    @property
    def trouble(self) -> str:
        """Why it takes no mail now, in words without personal data; "" if it does."""
        silence = self.silence
        return self.standing.trouble or (f"no answer for {silence:.0f} s" if silence else "")


def wanted_workers(relays: Sequence[Relay], now: datetime) -> list[tuple[Relay, int]]:
    """Which relays to use now, and by how many connections: the first that stands well, and one connection for each
    before it that may be back."""
    wanted: list[tuple[Relay, int]] = []
    for relay in relays:
        if relay.standing.is_paused(now):
            continue
        if not relay.trouble:
            return [*wanted, (relay, relay.allowed)]
        wanted.append((relay, 1))
    return wanted


async def send_one(relays: Iterable[Relay], sender: str, recipient: str, content: bytes) -> str:
    """Send one mail that is no delivery, such as a test or an alert, over the first of these relays that takes it. It
    has its turn among the others, and counts as one of them.

    Returns why none took it, in the first one's words, or "". What may have been taken is not tried again. Raises
    DBAPIError where turns are shared and the database does not answer.
    """
    why = ""
    for relay in relays:
        try:
            with relay.works():
                await relay.pace.turns(1)  # without a connection, which others may need meanwhile
                async with relay.pool.connection() as connection:
                    await connection.send(sender, recipient, content)
        except RelayFailure as failure:
            why = why or str(failure)
            if asks_for_less(failure.reply):
                relay.pace.slow_down()
            if isinstance(failure, Doubtful):
                break
        except DayIsFull as full:
            why = why or str(full)
        else:
            relay.pace.well(1)
            relay.proven()
            return ""
    return why


async def ask_again(relays: Iterable[Relay], sender: str) -> None:
    """Find out which of these relays still refuse everybody, by a connection and MAIL, without sending anything."""
    for relay in relays:
        if not relay.standing.refuses_everybody:
            continue
        with suppress(RelayFailure), relay.works():
            async with relay.pool.connection() as connection:
                await connection.ask(sender)
            relay.proven()


def wait(attempt: int) -> timedelta:
    """How long to wait after failed attempt number `attempt`, with jitter."""
    return backoff(attempt, random.random())  # noqa: S311 (jitter, no secret)
