"""Claims due deliveries and sends them over the connections of the first relay that accepts mail.

Each worker uses one connection (`sender`); there are no more workers than mails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection as SqlConnection

from scheduler import metrics
from scheduler.clock import Clock
from scheduler.database.engine import Database
from scheduler.delivery.backlog import Backlog, Item
from scheduler.delivery.pace import DayIsFull
from scheduler.delivery.recorder import Recorder
from scheduler.delivery.relay import Relay, wanted_workers
from scheduler.delivery.results import decide_unopened
from scheduler.delivery.sender import Job, Sender
from scheduler.ledger import claims, restored
from scheduler.ledger.entries import Lease, Outcome
from scheduler.ledger.outcomes import last_versions
from scheduler.ledger.refusals import RefusalStreak
from scheduler.readiness import Kind, Reason, reasons
from scheduler.smtp.failures import RelayFailure
from scheduler.troubles import Troubles

log = structlog.get_logger()

AHEAD_SECONDS = (
    0.5  # of mails to claim ahead: little, as mails due on registration must not wait for many others
)
AHEAD_EACH = 48  # mails to claim ahead for each connection at least, if no pace is set
MOST_AHEAD = 2000  # mails
RETRY_SECONDS = 1.0
SENDING = "sending mails"  # a worker's task, in readiness


class Dispatcher:
    """Claims due deliveries and runs a worker for each connection that may send them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        relays: Sequence[Relay],
        may_write_to: Callable[[str], bool] = lambda address: True,
        holder: int = 0,
    ) -> None:
        """`holder`: the number of this service, by which its leases are recognized (`database.presence`)."""
        self._database, self._clock, self._relays, self._holder = database, clock, relays, holder
        for relay in relays:
            relay.woken = self.wake
        self.recorder = Recorder(database, self._hold_restored, self._discard, self._doubt)
        self._backlog = Backlog()
        self._sender = Sender(clock, self._backlog, self.recorder, may_write_to, self._note_taken, self._lose)
        self._workers: dict[asyncio.Task[None], Relay] = {}
        self._pump: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._troubles = Troubles()
        self._woken = asyncio.Event()
        self._lost = False  # the ledger may hold leases of ours that are not in the backlog
        self._nothing_more = [False, False]  # urgent, others: the last claim found fewer than it asked for
        self._wakes = 0
        self._ahead = AHEAD_EACH  # mails to have claimed
        self._taken = 0  # mails that left the backlog since the last claim
        self._claimed_at = 0.0

    @property
    def job(self) -> Job:
        return self._sender.job

    @job.setter
    def job(self, job: Job) -> None:
        self._sender.job = job

    @property
    def trouble(self) -> str:
        """Why no relay accepts mail now, without personal data; "" if one does."""
        troubles = [relay.trouble for relay in self._relays]
        return troubles[0] if all(troubles) else ""

    @property
    def troubles(self) -> tuple[Reason, ...]:
        """What else keeps mails from going out now."""
        return (*reasons(Kind.LEDGER, [self.recorder.trouble]), *self._troubles.reasons)

    @property
    def notes(self) -> tuple[Reason, ...]:
        """What is wrong with secrets and certificates, though mails may go out."""
        return tuple(one for relay in self._relays for one in reasons(Kind.SECRETS, relay.pool.troubles))

    @property
    def stopped(self) -> bool:
        """Whether all relays refuse mails for reasons that only an operator can fix."""
        return all(relay.standing.stopped for relay in self._relays)

    @property
    def paused_until(self) -> datetime | None:
        """When the next relay is tried again (UTC); None unless all are paused."""
        instants = [relay.standing.paused_until for relay in self._relays]
        return None if None in instants else min(instant for instant in instants if instant)

    @property
    def busy(self) -> bool:
        return self._pump is not None and not self._pump.done()

    def wake(self) -> None:
        """Look for due deliveries and send them."""
        self._nothing_more = [False, False]
        self._wakes += 1
        self._woken.set()
        if not self._sender.draining and not self.busy:
            self._pump = asyncio.create_task(self._pump_on())

    def look_at_files(self) -> None:
        """Start tasks that look for changed secrets and certificates, and probe relays that refused everybody."""
        if self._sender.draining:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_at_files())
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe_relays())

    async def until_idle(self) -> None:
        """Wait until the tasks of `look_at_files` have ended and no due mail is left to send."""
        for task in (self._looking, self._probing, self._pump):
            if task:
                await task

    async def drain(self, seconds: float) -> list[Outcome]:
        """Begin no new mail, and leave mails on the wire in doubt after `seconds`. Returns the outcomes that could not
        be recorded, because the ledger can't be written."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        self._sender.draining = True
        self._woken.set()
        for worker in self._workers.keys() - self._sender.on_the_wire:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers, timeout=seconds)
        left = [*self._workers, *filter(None, [self._pump, self._looking, self._probing])]
        for task in left:
            task.cancel()
        last: list[asyncio.Future[Any]] = [*left, self.recorder.caught_up()]
        await asyncio.wait(last, timeout=max(end - loop.time(), RETRY_SECONDS))
        if unwritten := self.recorder.abandon():
            return unwritten  # their leases stay, by which they are recorded later
        with self._troubles.recorded("giving leases back"):
            async with asyncio.timeout(RETRY_SECONDS):
                await self._end_leases()
        return []

    async def _look_at_files(self) -> None:
        with self._troubles.recorded("looking at files of secrets"):
            for relay in self._relays:
                await relay.look_at_files()

    async def _probe_relays(self) -> None:
        with self._troubles.recorded("trying relays again"):
            await asyncio.gather(*map(self._probe, self._relays))

    async def _probe(self, relay: Relay) -> None:
        try:
            await relay.probe(self._clock.now(), self.job.sender)
        except RelayFailure as failure:
            self._not_opened(relay, failure)

    def _not_opened(self, relay: Relay, failure: RelayFailure) -> None:
        """Apply the effect of a connection that could not be opened; it costs no mail an attempt."""
        verdict, now = relay.standing.verdict("", failure.reply), self._clock.now()
        log.warning("no connection", relay=relay.name, verdict=str(verdict), reply=str(failure))
        relay.apply(decide_unopened(failure, verdict, now), now)

    async def _pump_on(self) -> None:
        with self._troubles.recorded("handing out mails"):  # after a failure, again at the next wake
            await self._send_due()

    async def _send_due(self) -> None:
        while not self._sender.draining:
            self._woken.clear()
            if self._lost:
                await self._free_lost()
            wanted = wanted_workers(self._relays, self._clock.now())
            if wanted:
                await self._claim(sum(number for _, number in wanted))
                self._hire(wanted)
            elif not self._workers and (items := self._backlog.pop_all()):
                self._backlog.discard(claimed for claimed, _ in items)
                await self._free_lost()
            if not self._workers and not self._woken.is_set():
                return
            woken = asyncio.create_task(self._woken.wait())
            await asyncio.wait([*self._workers, woken], return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()

    def _hire(self, wanted: Sequence[tuple[Relay, int]]) -> None:
        for relay, number in wanted:
            busy = sum(one is relay for one in self._workers.values())
            for _ in range(min(number - busy, self._backlog.free - len(self._workers))):
                worker = asyncio.create_task(self._work(relay))
                self._workers[worker] = relay
                worker.add_done_callback(self._workers.pop)

    async def _work(self, relay: Relay) -> None:
        with relay.works(), self._troubles.recorded(SENDING):
            await self._send_over(relay)
            return
        await asyncio.sleep(RETRY_SECONDS)

    async def _send_over(self, relay: Relay) -> None:
        try:
            async with AsyncExitStack() as opened:
                with relay.waits(opening=True):
                    connection = await opened.enter_async_context(relay.pool.connection())
                await self._sender.send_over(relay, connection)
        except RelayFailure as failure:
            if not relay.has_enough(failure.reply):
                self._not_opened(relay, failure)
        except DayIsFull as full:
            relay.standing.rest(full.until, str(full))

    def _note_taken(self, number: int) -> None:
        self._troubles.resolve(SENDING)
        self._taken += number
        low = self._is_low(self._backlog.urgent), self._is_low(self._backlog.others)
        more = any(one and not nothing for one, nothing in zip(low, self._nothing_more, strict=True))
        if more or self._backlog.free > len(self._workers):
            self._woken.set()

    def _is_low(self, claimed: int) -> bool:
        return claimed * 2 < self._ahead

    def _wanted_ahead(self, connections: int) -> int:
        """The number of mails to have claimed: those of AHEAD_SECONDS, and some for each connection."""
        now = asyncio.get_running_loop().time()
        rate = self._taken / (now - self._claimed_at)
        self._taken, self._claimed_at = 0, now
        limited = any(relay.pace.limited for relay in self._relays)
        return max(min(int(rate * AHEAD_SECONDS), MOST_AHEAD), connections * (1 if limited else AHEAD_EACH))

    async def _claim(self, connections: int) -> None:
        """Lease due deliveries of each queue of the backlog that is less than half full."""
        claimed = self._backlog.urgent, self._backlog.others
        urgent, others = (
            self._ahead - number if self._is_low(number) and not nothing else 0
            for number, nothing in zip(claimed, self._nothing_more, strict=True)
        )
        if not (urgent or others):
            return
        self._ahead = self._wanted_ahead(connections)
        token, now, found = claims.new_token(self._holder), self._clock.now(), None
        wakes = self._wakes
        with self._troubles.recorded("claiming what is due"), metrics.CLAIMING.time():
            found = await self._database.run_sending(_claim, now, token, self.job, urgent, others)
        if found is None:  # it may have been committed nevertheless
            self._lost, self._nothing_more = True, [True, True]  # until the next wake
            return
        self._backlog.add(found)
        if wakes != self._wakes:  # more may be due than this claim saw
            return
        quick = sum(claimed.urgency == 0 for claimed, _ in found)
        self._nothing_more = [
            self._nothing_more[0] or quick < urgent,
            self._nothing_more[1] or 0 < others > len(found) - quick,
        ]

    def _lose(self) -> None:
        """Note that the ledger may hold leases of ours that are not in the backlog."""
        self._lost = True
        self._woken.set()

    def _discard(self, lease: Lease) -> None:
        self._backlog.discard([lease])
        self._lose()

    def _doubt(self, refusal: RefusalStreak) -> None:
        """Stop a relay that refused recipients alike in a row: the cause is the relay, or our standing there."""
        log.error("relay refuses recipients alike", relay=refusal.relay, reply=str(refusal))
        for relay in self._relays:
            if relay.name == refusal.relay:
                relay.standing.doubt(self._clock.now(), str(refusal))

    async def _free_lost(self) -> None:
        """End the leases of ours that are not in the backlog. No other service does while this one is alive."""
        self._lost = False
        with self._troubles.recorded("freeing leases"):
            await self._end_leases(known=list(self._backlog.leased))
            return
        self._lost = True

    async def _end_leases(self, known: Collection[int] = ()) -> None:
        ours = [claims.name_of(self._holder)]
        await self._database.run_sending(claims.end_leases, self._clock.now(), ours, known)

    def _hold_restored(self, conn: SqlConnection) -> None:
        restored.hold(conn, self._clock.now())


def _claim(conn: SqlConnection, now: datetime, token: str, job: Job, urgent: int, others: int) -> list[Item]:
    if not job.live:
        return []
    claimed = claims.claim(
        conn, now, token, urgent, others, version=job.version, without=job.webinars.keys() - job.live,
        drafts_too=job.drafts_too,
    )  # fmt: skip
    versions = last_versions(conn, [one.uid for one in claimed]) if claimed else {}
    return [(one, versions.get(one.uid)) for one in claimed]
