"""From due to outcome: claims what is due, renders it, sends it, and records what became of it.

One task a connection. A delivery is `sending` only once its mail is rendered and a connection is ready;
what the relay says is classified by `replies`, and this module does what the verdict says.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection as SqlConnection
from sqlalchemy.exc import DBAPIError

from scheduler.clock import Clock
from scheduler.database.engine import Database
from scheduler.delivery.pace import Pace
from scheduler.delivery.recorder import Recorder
from scheduler.delivery.relay import Connection, Doubtful, Pool, RelayFailure
from scheduler.delivery.replies import OPENING, Reply, Verdict, backoff, classify
from scheduler.ledger import claims
from scheduler.ledger.claims import LEASE_SECONDS, Claimed, Outcome, Version
from scheduler.ledger.edits import planned_revisions
from scheduler.ledger.states import State, Why
from scheduler.mail.rendering import Ready, render
from scheduler.texts import Texts
from scheduler.webinar import Webinar

log = structlog.get_logger()

STOP_PAUSE = timedelta(minutes=5)  # between tries of a relay that takes nobody's mail


@dataclass
class Job:
    """What is on its way now, and by what: swapped whole when a file changes."""

    webinars: Mapping[str, Webinar] = field(default_factory=dict)
    live: Sequence[str] = ()
    texts: Texts = field(default_factory=Texts)
    revisions: Mapping[str, str] = field(
        default_factory=dict
    )  # by webinar: nothing planned by another one is ours


class Dispatcher:
    """Sends what is due through one relay."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        pool: Pool,
        relay: str,
        connections: int,
        may_write_to: Callable[[str], bool] = lambda address: True,
        per_minute: int | None = None,
    ) -> None:
        self.job = Job()
        self.trouble = ""  # why the relay takes no mail now, in words without personal data
        self.stopped = False  # by a reply that only the operator can do something about
        self.paused_until: datetime | None = None
        self._database, self._clock, self._pool, self._relay = database, clock, pool, relay
        self._recorder = Recorder(database)
        # Few ahead where the relay is slow: what is due on registration must not wait behind what is claimed.
        self._room = connections if per_minute else connections * 4
        self._may_write_to = may_write_to
        self._pace = Pace(per_minute)
        self._failures = 0
        self._refused_before: int | None = None
        self._pump: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._under_way: dict[asyncio.Task[None], Claimed] = {}
        self._on_the_wire: set[int] = set()
        self._last_token = ""  # of the last claim, which may still be under way
        self._woken = asyncio.Event()
        self._draining = False

    def wake(self) -> None:
        """Send what is due, besides what is under way."""
        self._woken.set()
        if not self._draining and not self.busy:
            self._pump = asyncio.create_task(self._send_due())

    @property
    def busy(self) -> bool:
        return self._pump is not None and not self._pump.done()

    async def settled(self) -> None:
        """Wait until nothing that is due now is left to send."""
        if self._pump:
            await self._pump

    async def drain(self, seconds: float) -> None:
        """Begin no new mail; give what is on the wire so many seconds, then leave it in doubt."""
        self._draining = True
        tokens = {claimed.token for claimed in self._under_way.values()}
        tokens |= {self._last_token} - {""}
        for task, claimed in self._under_way.items():
            if claimed.id not in self._on_the_wire:
                task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)
        left = [*self._under_way, *(task for task in (self._pump, self._renewing) if task)]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if tokens:
            await self._database.run(claims.abandon, self._clock.now(), tokens)

    async def _send_due(self) -> None:
        self._renewing = self._renewing or asyncio.create_task(self._renew_leases())
        while not self._draining:
            self._woken.clear()
            for one, last in await self._claim():
                task = asyncio.create_task(self._deliver(one, last))
                self._under_way[task] = one
                task.add_done_callback(lambda task: self._under_way.pop(task, None))
            if not self._under_way and not self._woken.is_set():
                return
            woken = asyncio.create_task(self._woken.wait())
            await asyncio.wait([*self._under_way, woken], return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()

    async def _claim(self) -> list[tuple[Claimed, Version | None]]:
        room = self._room - len(self._under_way)
        now = self._clock.now()
        if room < self._room // 2 or self._is_paused(now) or self._draining:
            return []
        if self.trouble:
            room = 1 if not self._under_way else 0  # one mail tries whether the relay is back
        if not room:
            return []
        self._last_token = token = secrets.token_hex(16)
        try:
            return await self._database.run(_claim, now, token, self.job, room)
        except DBAPIError as error:
            log.error("nothing claimed: the database does not answer", error=type(error.orig).__name__)
            return []

    def _is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and now < self.paused_until

    async def _deliver(self, claimed: Claimed, last: Version | None) -> None:
        begun = False
        try:
            ready = self._ready(claimed, last)
            if isinstance(ready, Outcome):
                await self._recorder.conclude(ready)
                return
            if not self._may_begin(claimed):
                await self._release(claimed)
                return
            await self._pace.turn()
            async with self._pool.connection() as connection:
                if not self._may_begin(claimed):
                    await self._release(claimed)
                    return
                begun = True
                await self._send(connection, ready)
        except RelayFailure as failure:
            await self._recorder.conclude(self._after_failure(claimed, failure))
        except asyncio.CancelledError:
            if not begun:
                await asyncio.shield(self._release(claimed))
            raise
        except Exception as error:
            log.error("delivery held", delivery=claimed.id, error=type(error).__name__)
            await self._recorder.conclude(self._held(claimed, Why.DATA))

    def _may_begin(self, claimed: Claimed) -> bool:
        """What was true when it was claimed may have ended while it waited for a connection."""
        paused = self._is_paused(self._clock.now())
        return not (self._draining or paused) and claimed.webinar in self.job.live

    def _ready(self, claimed: Claimed, last: Version | None) -> Ready | Outcome:
        webinar = self.job.webinars[claimed.webinar]
        if not self._may_write_to(claimed.address):
            return self._held(claimed, Why.CONFIG)
        live = self.job.texts.find(webinar, claimed.message, claimed.language)
        if live is None:
            return self._held(claimed, Why.TEMPLATE)
        return render(claimed, webinar, live, last, self._clock.now(), self._relay)

    def _held(self, claimed: Claimed, why: Why) -> Outcome:
        return Outcome(claimed, State.HELD, self._clock.now(), attempt="not_sent", reason=why, counts=False)

    async def _send(self, connection: Connection, ready: Ready) -> None:
        claimed = ready.start.claimed
        webinar = self.job.webinars[claimed.webinar]
        self._on_the_wire.add(claimed.id)  # as soon as it may be `sending`: a drain waits for it
        try:
            if not await self._recorder.begin(ready.start):
                return
            reply = await connection.send(webinar.sender.address, claimed.address, ready.content)
        finally:
            self._on_the_wire.discard(claimed.id)
        self._all_well()
        sent = Outcome(claimed, State.SENT, self._clock.now(), attempt="sent")
        await self._recorder.conclude(_with_reply(sent, reply))
        log.info("sent", delivery=claimed.id, webinar=claimed.webinar, message=claimed.message)

    def _all_well(self) -> None:
        self.trouble, self.stopped, self.paused_until = "", False, None
        self._failures, self._refused_before = 0, None

    def _after_failure(self, claimed: Claimed, failure: RelayFailure) -> Outcome:
        """What the ledger must say after a mail was not accepted, and what that means for the relay."""
        now, reply = self._clock.now(), failure.reply
        verdict = self._confirmed(claimed, reply, classify(reply))
        log.warning("not sent", delivery=claimed.id, verdict=str(verdict), reply=str(failure))
        again_at: datetime | None = now + self._wait(claimed.attempts + 1)
        if isinstance(failure, Doubtful):  # no pause: where the relay is down, the next connection says so
            lost = "the relay's answer was lost"
            return _with_reply(Outcome(claimed, State.IN_DOUBT, now, "in_doubt", lost, again_at), reply)
        if verdict is Verdict.FAIL_ADDRESS:
            why = f"refused: {reply.code} {reply.enhanced}".strip()
            return _with_reply(Outcome(claimed, State.FAILED, now, "refused", why), reply)
        counts = verdict is Verdict.RETRY_MAIL
        if not counts:
            until = self._pause(now, failure, verdict)
            # No mail has to do with a connection that did not come about: once it does, nobody waits any more.
            again_at = None if reply.stage in OPENING else until
        deferred = Outcome(claimed, State.PENDING, now, "deferred", again_at=again_at, counts=counts)
        return _with_reply(deferred, reply)

    def _confirmed(self, claimed: Claimed, reply: Reply, verdict: Verdict) -> Verdict:
        """One registrant's name may trip a filter: what a mail itself met stops all only when a second one
        meets it, too."""
        if verdict is not Verdict.STOP or reply.stage not in ("rcpt", "data", "content"):
            return verdict
        if self._refused_before in (None, claimed.id):
            self._refused_before = claimed.id
            return Verdict.RETRY_MAIL
        return verdict

    def _pause(self, now: datetime, failure: RelayFailure, verdict: Verdict) -> datetime:
        """A relay in trouble costs no mail its attempts: nothing is claimed until it is tried again.

        Mails that meet the same trouble together are one failure, not many."""
        stops = verdict is Verdict.STOP and not self.stopped
        if self.paused_until and self._is_paused(now) and not stops:
            return self.paused_until
        self._failures += 1
        wait = STOP_PAUSE if verdict is Verdict.STOP else self._wait(self._failures) / 10
        self.paused_until = now + wait
        self.trouble = str(failure)  # without the address
        self.stopped = self.stopped or verdict is Verdict.STOP
        return self.paused_until

    @staticmethod
    def _wait(attempt: int) -> timedelta:
        return backoff(attempt, random.random())  # noqa: S311 (jitter, no secret)

    async def _release(self, claimed: Claimed) -> None:
        with suppress(DBAPIError):  # the lease lapses by itself, then
            await self._database.run(claims.release, [claimed])

    async def _renew_leases(self) -> None:
        """A lease outlasts the longest wait for a reply, as long as this process lives."""
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            if tokens := {claimed.token for claimed in self._under_way.values()}:
                try:
                    await self._database.run(claims.renew, tokens)
                except DBAPIError as error:
                    log.error("leases not renewed", error=type(error.orig).__name__)


def _claim(
    conn: SqlConnection, now: datetime, token: str, job: Job, room: int
) -> list[tuple[Claimed, Version | None]]:
    planned = planned_revisions(conn)
    live = [name for name in job.live if job.revisions.get(name) in (None, planned.get(name))]
    claimed = claims.claim(conn, now, token, live, room)
    versions = claims.last_versions(conn, [one.uid for one in claimed])
    return [(one, versions.get(one.uid)) for one in claimed]


def _with_reply(outcome: Outcome, reply: Reply) -> Outcome:
    return replace(outcome, stage=reply.stage, code=reply.code, enhanced=reply.enhanced, reply=reply.text)
