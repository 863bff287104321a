"""Over one connection, a group of mails at a time: rendered, `sending` made durable, sent, concluded.

No more mails are begun than may be in flight on the connection. `sending` is set for them in one transaction with the
outcomes of those before, so after a kill no more than that can be in doubt for each connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from scheduler.clock import Clock
from scheduler.delivery.backlog import Backlog, Item
from scheduler.delivery.figures import count_begun, count_landed
from scheduler.delivery.recorder import Recorder
from scheduler.delivery.relay import Relay, wait
from scheduler.input.addresses import fold
from scheduler.ledger.entries import Claimed, Outcome, Start
from scheduler.ledger.states import State, Why, why_refused
from scheduler.mail.texts import Texts
from scheduler.mail.writing.stencil import Stencils
from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import Doubtful, NotBegun, RelayFailure
from scheduler.smtp.moments import named_moment
from scheduler.smtp.pool import Connection
from scheduler.smtp.replies import (
    LONGEST_WAIT,
    OPENING,
    Reply,
    Verdict,
    asks_for_less,
    log_safe,
    says_unknown,
)
from scheduler.webinar.model import Webinar

log = structlog.get_logger()

FRESH = timedelta(seconds=2)
"""Within which a mail goes out after the ledger has let it begin; else it is begun again."""


@dataclass(frozen=True)
class Job:
    """What may go out now, and by what: swapped whole when something else governs."""

    webinars: Mapping[str, Webinar] = field(default_factory=dict)
    live: Collection[str] = frozenset()
    texts: Texts = field(default_factory=Texts)
    revisions: Mapping[str, int] = field(default_factory=dict)  # by webinar: what is rendered
    version: int | None = None
    """The highest of table `webinar` that is known here; None: all that governs is."""
    drafts_too: bool = False

    @property
    def sender(self) -> str:
        """The sender of some webinar whose mails go out; "" where there is none."""
        return next((self.webinars[name].sender.address for name in self.live if name in self.webinars), "")


@dataclass(frozen=True)
class OutgoingMail:
    """A rendered mail, and what the ledger must hold before it goes."""

    item: Item
    start: Start
    mail: Mail
    webinar: Webinar

    @property
    def alone(self) -> bool:
        """Whether no other may be in flight on its connection: a kill puts no other in doubt with it."""
        return _goes_alone(self.webinar)


class Sender:
    """Sends what is in the backlog, over as many connections as it is given."""

    def __init__(
        self,
        clock: Clock,
        backlog: Backlog,
        recorder: Recorder,
        may_write_to: Callable[[str], bool],
        taken: Callable[[int], None],
        lost: Callable[[], None],
    ) -> None:
        """`taken` is told how many mails have left the backlog, `lost` that the ledger has leases of ours on some that
        nobody here will send."""
        self.job = Job()
        self.draining = False
        self._stencils = Stencils()
        self.on_the_wire: set[asyncio.Task[None] | None] = set()  # tasks whose mails may be there
        self._clock, self._backlog, self._recorder = clock, backlog, recorder
        self._may_write_to, self._taken, self._lost = may_write_to, taken, lost

    async def send_over(self, relay: Relay, connection: Connection) -> None:
        """Send until nothing is left, or the connection or the relay is in trouble. Raises DayIsFull, or what fails."""
        outcomes: list[Outcome] = []
        try:
            while group := await self._next_group(relay, connection, connection.window):
                await self._send(relay, connection, group, outcomes)
                if relay.standing.trouble or not connection.usable:
                    break
        finally:
            await asyncio.shield(self._conclude(outcomes))  # whatever becomes of this task

    async def _next_group(
        self, relay: Relay, connection: Connection, most: int, *, joins: bool = False
    ) -> list[OutgoingMail]:
        """At most so many mails that may begin now; `joins`: beside others in flight. None: there is nothing to send,
        or it must not be sent now."""
        group: list[OutgoingMail] = []
        while not group:
            share = -(-self._backlog.free // relay.allowed)  # few go side by side, not one behind the other
            with self._backlog.spoken_for(1 if relay.standing.trouble else min(most, share)) as wanted:
                turns = await relay.pace.turns(wanted) if wanted else 0
            if not turns or self.draining or relay.standing.is_paused(self._clock.now()):
                return []
            group = await self._render(relay, connection, turns, joins)
            if joins:
                break
        self._taken(len(group))
        return group

    async def _render(
        self, relay: Relay, connection: Connection, number: int, joins: bool
    ) -> list[OutgoingMail]:
        """Up to so many mails from the backlog. What can't be rendered is held, alone. A mail that is held when it is
        in doubt makes a group of its own: a kill puts no other in doubt with it."""
        group: list[OutgoingMail] = []
        outcomes: list[Outcome] = []
        unwanted: list[Claimed] = []
        while len(group) < number and (item := self._backlog.take()):
            webinar = self.job.webinars.get(item[0].webinar)
            if webinar is None or not self._governs(item[0]):
                unwanted.append(item[0])
                continue
            alone = _goes_alone(webinar)
            if alone and (group or joins):
                self._backlog.put_back(item)
                break
            ready = self._ready(relay, connection.offers("8BITMIME"), webinar, item)
            if isinstance(ready, Outcome):
                outcomes.append(ready)
                continue
            group.append(ready)
            if alone:
                break
        if unwanted:
            self._backlog.settle(unwanted)
            self._lost()
        await self._conclude(outcomes)
        return group

    def _governs(self, claimed: Claimed) -> bool:
        """Whether what this was claimed by still governs."""
        webinar, job = claimed.webinar, self.job
        return webinar in job.live and job.revisions.get(webinar) == claimed.revision_id

    def _ready(self, relay: Relay, eight_bit: bool, webinar: Webinar, item: Item) -> OutgoingMail | Outcome:
        claimed, last = item
        now = self._clock.now()
        try:
            if not self._may_write_to(claimed.address):
                return _held(claimed, now, Why.CONFIG)
            live = self.job.texts.find(webinar, claimed.message, claimed.language)
            if live is None:
                return _held(claimed, now, Why.TEMPLATE)
            render = partial(
                self._stencils.render, claimed, webinar, live, last, now, relay.name, told=claimed.told
            )
            rendered = render(eight_bit=eight_bit)
            in_7_bits = (lambda: render(eight_bit=False).written) if eight_bit else None
            mail = Mail.checked(webinar.sender.address, claimed.address, *rendered.written, in_7_bits)
        except Exception as error:  # whatever a text or a value makes raise
            log.error("delivery held", delivery=claimed.id, error=type(error).__name__)
            return _held(claimed, now, Why.DATA)
        return OutgoingMail(item, rendered.start, mail, webinar)

    async def _send(
        self, relay: Relay, connection: Connection, group: Sequence[OutgoingMail], outcomes: list[Outcome]
    ) -> None:
        """Record these outcomes and these starts, and send. On return `outcomes` holds results not yet recorded."""
        task = asyncio.current_task()
        self.on_the_wire.add(task)  # as soon as it may be `sending`
        try:
            if begun := await self._begin(group, outcomes):
                await self._fly(relay, connection, begun, outcomes)
        finally:
            self.on_the_wire.discard(task)

    async def _fly(
        self,
        relay: Relay,
        connection: Connection,
        flying: list[OutgoingMail],
        outcomes: list[Outcome],
    ) -> None:
        """Send these, and what may join them. Adds to `outcomes` what is not on record yet."""

        async def more(results: list[Reply | RelayFailure]) -> list[Mail]:
            heard(False)
            try:
                outcomes.extend(self._landed(relay, flying, results))
                room = connection.room(len(flying))
                if room < 1 or relay.standing.trouble or not relay.pace.unlimited:
                    return []
                joining = await self._next_group(relay, connection, room, joins=True)
                flying.extend(begun := await self._begin(joining, outcomes))
                return self._mails(begun)
            finally:
                heard(True)

        alone = flying[0].alone
        try:
            with relay.waits() as heard:
                results = await connection.send_all(self._mails(flying), None if alone else more)
            outcomes.extend(self._landed(relay, flying, results))
        except Exception:  # a fault of ours: who knows what went out
            now = self._clock.now()
            for one in (ready.start.claimed for ready in flying):
                again_at = now + wait(one.attempts + 1)
                outcomes.append(Outcome(one, State.IN_DOUBT, now, "in_doubt", "sending failed", again_at))
            raise

    async def _begin(self, group: Sequence[OutgoingMail], outcomes: list[Outcome]) -> list[OutgoingMail]:
        """Record these starts and outcomes in one transaction, and empty `outcomes`. Returns the mails whose lease we
        still hold."""
        begun = await self._recorder.write(outcomes, [ready.start for ready in group])
        self._backlog.settle(outcome.claimed for outcome in outcomes)
        outcomes.clear()
        count_begun(ready.start for ready in group if ready.start.claimed.id in begun)
        self._backlog.settle(ready.start.claimed for ready in group if ready.start.claimed.id not in begun)
        return [ready for ready in group if ready.start.claimed.id in begun]

    def _mails(self, begun: Iterable[OutgoingMail]) -> list[Mail]:
        """The mails of these, which the ledger has just let begin."""
        now = self._clock.now()
        return [replace(ready.mail, may_go=partial(self._may_go, ready, now)) for ready in begun]

    def _may_go(self, ready: OutgoingMail, begun_at: datetime, announced: bool) -> bool:
        """Whether this mail may still go out; `announced`: its envelope did. A plan that has changed since it began
        shows when it begins again."""
        if self.draining or announced:
            return not self.draining
        claimed = ready.start.claimed
        return self._clock.now() < min(claimed.expires_at, begun_at + FRESH) and self._governs(claimed)

    def _landed(
        self, relay: Relay, flying: list[OutgoingMail], results: Sequence[Reply | RelayFailure]
    ) -> list[Outcome]:
        """What became of the first of those in flight, which are no longer."""
        landed, flying[:] = flying[: len(results)], flying[len(results) :]
        found = [
            self._outcome(relay, ready.start.claimed, result)
            for ready, result in zip(landed, results, strict=True)
        ]
        count_landed(relay.name, (ready.start for ready in landed), found)
        if sent := sum(outcome.state is State.SENT for outcome in found):
            relay.pace.well(sent)
        return found

    async def _conclude(self, outcomes: Sequence[Outcome]) -> None:
        await self._recorder.write(outcomes)
        self._backlog.settle(outcome.claimed for outcome in outcomes)

    def _outcome(self, relay: Relay, claimed: Claimed, result: Reply | RelayFailure) -> Outcome:
        """What the ledger must say of this result, and what that means for the relay."""
        now = self._clock.now()
        if isinstance(result, Reply):
            relay.standing.well()
            return _with_reply(Outcome(claimed, State.SENT, now, attempt="sent"), result)
        if isinstance(result, NotBegun):
            return Outcome(claimed, State.PENDING, now, "not_sent", counts=False)
        reply = result.reply
        verdict, words = (
            relay.standing.verdict(fold(claimed.address), reply),
            log_safe(str(reply), claimed.address, claimed.name),
        )
        log.warning("not sent", delivery=claimed.id, relay=relay.name, verdict=str(verdict), reply=words)
        if relay.has_enough(reply):  # a connection that broke, and was to be opened again
            return _with_reply(Outcome(claimed, State.PENDING, now, "deferred", counts=False), reply)
        if asks_for_less(reply):
            relay.pace.slow_down()
        named = named_moment(reply.text, now)
        again_at: datetime | None = max(
            now + wait(claimed.attempts + 1), min(named or now, now + LONGEST_WAIT)
        )
        if isinstance(result, Doubtful):  # no pause: where the relay is down, the next connection says so
            lost = "the relay's answer was lost"
            return _with_reply(Outcome(claimed, State.IN_DOUBT, now, "in_doubt", lost, again_at), reply)
        if verdict is Verdict.FAIL_ADDRESS:
            why = why_refused(reply.code, reply.enhanced, unknown=says_unknown(reply))
            return _with_reply(Outcome(claimed, State.FAILED, now, "refused", why, again_at), reply)
        counts = verdict is Verdict.RETRY_MAIL
        if not counts:
            until = relay.standing.pause(now, words, verdict, reply.stage, named)
            # No mail has to do with a connection that did not come about, or with a sender that is refused: once the
            # relay is well, nobody waits any more.
            again_at = None if reply.stage in (*OPENING, "mail") else until
        return _with_reply(Outcome(claimed, State.PENDING, now, "deferred", "", again_at, counts), reply)


def _goes_alone(webinar: Webinar) -> bool:
    return webinar.on_doubt == "hold"


def _held(claimed: Claimed, now: datetime, why: Why) -> Outcome:
    return Outcome(claimed, State.HELD, now, attempt="not_sent", reason=why, counts=False)


def _with_reply(outcome: Outcome, reply: Reply) -> Outcome:
    return replace(outcome, stage=reply.stage, code=reply.code, enhanced=reply.enhanced, reply=reply.text)
