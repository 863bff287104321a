"""A relay: its standing, its connections and its pace; single mails that are no deliveries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

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
"""Silence after which a relay is reported, and the next one used; its replies may take minutes (RFC 5321, 4.5.3.2)."""
ANOTHER_SECONDS = 300.0
"""How often we try one more connection than the relay last accepted."""
STOP_PAUSE = timedelta(minutes=5)
"""Between tries of a relay that accepts no mail from us."""
FIRST_STOP_PAUSES = (timedelta(seconds=15), timedelta(minutes=1))
"""Before the first tries of a relay that refuses our sign-in: a password is often changed there some seconds later than
here. There are only two, because repeating a wrong password locks the account."""
FORGOTTEN_AFTER = timedelta(hours=1)
"""After a pause that no other mail confirmed, the trouble is forgotten."""
DOUBT_PAUSE = timedelta(minutes=1)
"""Between tries of a relay that refused many recipients alike."""


class Standing:
    """The state of a relay: well, or paused until some instant (UTC) with the reason.

    Trouble of the relay costs no mail an attempt: after the pause one mail tries it again.
    """

    def __init__(self) -> None:
        self.trouble = ""  # in words without personal data
        self.stopped = False  # by a reply about something that only the operator can fix
        self.rests = False  # the daily limit is reached
        self.paused_until: datetime | None = None
        self._stage: Stage | None = None  # of the reply that paused it
        self._failures = 0
        self._stops = 0
        self._met_by: dict[Verdict, object] = {}  # the first recipient with a verdict that may concern all

    def is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and now < self.paused_until

    def clear(self) -> None:
        """Forget all trouble: a mail was accepted."""
        self.__init__()  # type: ignore[misc]

    def verdict(self, recipient: object, reply: Reply) -> Verdict:
        """The verdict about this reply to a mail for `recipient`. One registrant's name may trip a filter: after MAIL,
        a verdict that concerns all mails counts only when a second recipient confirms it."""
        found = classify(reply)
        about_the_mail = reply.stage in ("rcpt", "data", "content") and reply.code not in (0, 421)
        if found not in (Verdict.STOP, Verdict.PAUSE_RELAY) or not about_the_mail:
            return found
        return Verdict.RETRY_MAIL if self._met_by.setdefault(found, recipient) == recipient else found

    @property
    def refuses_everybody(self) -> bool:
        """Whether it stopped before any recipient or content was named: a connection and MAIL can show whether it
        still refuses."""
        return self.stopped and self._is_before_rcpt

    @property
    def _is_before_rcpt(self) -> bool:
        return self._stage in (*OPENING, "mail")

    def needs_probe(self, now: datetime) -> bool:
        """Whether it refused before any recipient was named, and the pause is over."""
        return self._is_before_rcpt and not self.is_paused(now)

    def expire(self, now: datetime) -> None:
        """Forget a daily limit that has ended, and trouble of a mail that none has confirmed for an hour since, as when
        another relay sends them or none is due."""
        if self.paused_until is None or self.stopped:
            return
        if (self.rests and now >= self.paused_until) or now - self.paused_until > FORGOTTEN_AFTER:
            self.clear()

    def proven(self) -> None:
        """It accepted a probe or a mail that is no delivery. That ends trouble at the opening or at MAIL; after refused
        recipients or contents it only ends the pause, and a mail to a registrant has to end the trouble."""
        if self._is_before_rcpt:
            self.clear()
        else:
            self.try_again()

    def try_again(self) -> None:
        """End the pause, except that of a daily limit."""
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
        """Pause the relay, longer each time, and at least until `named`, the instant that a reply names. Returns the
        end of the pause. `stage`: of that reply. Failures during a pause count as one."""
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
        """Stop, because recipients in a row were refused alike; try again soon, as all of those addresses may have been
        wrong."""
        if not self.stopped:
            self.pause(now, words, Verdict.STOP)
            self.paused_until = now + DOUBT_PAUSE
        elif not self.is_paused(now):
            self.paused_until = now + DOUBT_PAUSE

    def rest(self, until: datetime, words: str) -> None:
        """Pause until the daily limit allows mails again (UTC)."""
        self.paused_until, self.trouble, self._stage, self.rests = until, words, None, True


@dataclass
class Relay:
    """One relay: its connections, its pace and its standing."""

    name: str
    pool: Pool
    pace: Pace
    connections: int
    standing: Standing = field(default_factory=Standing)
    _workers: int = 0  # tasks that have a connection, or open one
    _most: int | None = None  # connections that it accepted when it refused one more; None: it refused none
    _refused_at: float = 0.0  # on the loop's clock
    _waiting: dict[object, float] = field(default_factory=dict)  # since when each waits, on the loop's clock
    _opening: int = 0
    woken: Callable[[], None] = lambda: None
    """Called when the relay may accept mails before its pause is over."""

    @classmethod
    def of(cls, settings: RelaySettings, database: Database | None, state: StateDir) -> Relay:
        """`database`: where its limits are shared with other services; None: they are this process's own."""
        pace = Pace(settings.per_minute, settings.per_day, database=database, account=settings.account)
        return cls(settings.name, Pool(settings, state=state), pace, settings.connections)

    @contextmanager
    def works(self) -> Iterator[None]:
        """Count a task that opens a connection and uses it."""
        self._workers += 1
        try:
            yield
        finally:
            self._workers -= 1

    @property
    def allowed(self) -> int:
        """The number of connections that may exist now."""
        if self._most is None:
            return self.connections
        more = int((asyncio.get_running_loop().time() - self._refused_at) / ANOTHER_SECONDS)
        return min(self.connections, self._most + more)

    @property
    def has_others(self) -> bool:
        """Whether other tasks have a connection, besides the caller inside `works`."""
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
            self.standing.clear()
        if effect.refuses_connection:
            self._limit_connections()
        if effect.slows:
            self.pace.slow_down()
        if pause := effect.pause:
            return self.standing.pause(now, effect.words, pause.verdict, pause.stage, pause.named)
        return None

    @contextmanager
    def waits(self, *, opening: bool = False) -> Iterator[Callable[[bool], None]]:
        """Note that a task waits for the relay. Yields a function to call after a reply, with whether the task waits
        for the next one (True) or is busy with something else, such as the ledger. `opening`: before any mail."""
        task, loop = object(), asyncio.get_running_loop()

        def note_waiting(waits: bool) -> None:
            self._waiting.pop(task, None)
            if waits:
                self._waiting[task] = loop.time()

        note_waiting(True)
        self._opening += opening
        try:
            yield note_waiting
        finally:
            note_waiting(False)
            self._opening -= opening

    def proven(self) -> None:
        """Note that it accepted a probe or a mail that is no delivery."""
        self.standing.proven()
        self.woken()

    async def probe(self, now: datetime, sender: str) -> None:
        """Find out whether a relay that refused everybody still does, by a connection and MAIL from this sender ("": no
        MAIL). Does nothing while mails would show it. Raises RelayFailure."""
        self.standing.expire(now)
        if not self.standing.needs_probe(now) or self._workers:
            return
        with self.works():
            async with self.pool.connection() as connection:
                if sender:
                    await connection.probe(sender)
        self.proven()

    async def look_at_files(self) -> None:
        """Try the relay at once if files of secrets or certificates have changed."""
        if await self.pool.look_again():
            self.standing.try_again()
            self.woken()

    @property
    def silence(self) -> float:
        """Seconds for which every connection has waited for a reply; 0 below SILENT_SECONDS."""
        if not self._opening and len(self._waiting) < self.allowed:
            return 0.0
        seconds = asyncio.get_running_loop().time() - max(self._waiting.values())
        return seconds if seconds > SILENT_SECONDS else 0.0

    @property
    def trouble(self) -> str:
        """Why it accepts no mail now, without personal data; "" if it does."""
        silence = self.silence
        return self.standing.trouble or (f"no answer for {silence:.0f} s" if silence else "")


def wanted_workers(relays: Sequence[Relay], now: datetime) -> list[tuple[Relay, int]]:
    """The relays to use now, each with the number of connections: the first that is well, and one connection to each
    before it whose pause is over."""
    wanted: list[tuple[Relay, int]] = []
    for relay in relays:
        if relay.standing.is_paused(now):
            continue
        if not relay.trouble:
            return [*wanted, (relay, relay.allowed)]
        wanted.append((relay, 1))
    return wanted


class NotSent(NamedTuple):
    """Why no relay accepted a mail, in words without personal data. `verdict` None: it must not be tried again."""

    words: str
    verdict: Verdict | None

    @property
    def for_now(self) -> bool:
        """Whether a later try may succeed."""
        return self.verdict not in (None, Verdict.FAIL_ADDRESS)

    @property
    def concerns_all(self) -> bool:
        """Whether the next mail would not be accepted either."""
        return self.verdict in (Verdict.PAUSE_RELAY, Verdict.STOP)


async def send_one(relays: Iterable[Relay], sender: str, recipient: str, content: bytes) -> NotSent | None:
    """Send one mail that is no delivery, such as a test or an alert, over the first of these relays that accepts it. It
    waits for a turn and counts towards the limits like any other mail.

    Returns the first relay's reason if none accepted it. A mail that may have been accepted is not tried again. Raises
    DBAPIError if turns are shared and the database does not answer.
    """
    why, verdict = "", Verdict.FAIL_ADDRESS
    for relay in relays:
        try:
            with relay.works():
                await relay.pace.turns(1)  # before a connection is opened, which others may need
                async with relay.pool.connection() as connection:
                    await connection.send(sender, recipient, content)
        except RelayFailure as failure:
            why = why or str(failure)
            if asks_for_less(failure.reply):
                relay.pace.slow_down()
            if isinstance(failure, Doubtful):
                return NotSent(why, None)
            verdict = classify(failure.reply) if verdict is Verdict.FAIL_ADDRESS else verdict
        except DayIsFull as full:
            why, verdict = why or str(full), Verdict.PAUSE_RELAY
        else:
            relay.pace.note_accepted(1)
            relay.proven()
            return None
    return NotSent(why, verdict)


async def ask_again(relays: Iterable[Relay], sender: str) -> None:
    """Probe the relays that refuse everybody, by a connection and MAIL: those that no longer do are used again."""
    for relay in relays:
        if not relay.standing.refuses_everybody:
            continue
        with suppress(RelayFailure), relay.works():
            async with relay.pool.connection() as connection:
                await connection.probe(sender)
            relay.proven()


def wait(attempt: int) -> timedelta:
    """The wait after failed attempt number `attempt` (1 is the first), with jitter."""
    return backoff(attempt, random.random())  # noqa: S311 (jitter, no secret)
