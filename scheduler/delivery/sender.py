"""Sends mails over one connection, a group at a time: renders them, records `sending`, sends, records the outcomes.

A group is no larger than the window of the connection. One transaction records its `sending` and the outcomes of the
group before, so a kill leaves at most one window of mails in doubt for each connection.
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
from scheduler.delivery.flight import Flight, OutgoingMail, goes_alone
from scheduler.delivery.recorder import Recorder
from scheduler.delivery.relay import Relay
from scheduler.ledger.entries import Claimed, Outcome
from scheduler.ledger.states import State, Why
from scheduler.mail.texts import Texts
from scheduler.mail.writing.stencil import Stencils
from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import RelayFailure
from scheduler.smtp.pool import Connection
from scheduler.smtp.replies import Reply
from scheduler.webinar.model import Webinar

log = structlog.get_logger()

FRESH = timedelta(seconds=2)
"""How long after `sending` was recorded a mail may still go out; later it must begin again."""


@dataclass(frozen=True)
class Job:
    """The webinars and texts that govern what may go out now; replaced as a whole when they change."""

    webinars: Mapping[str, Webinar] = field(default_factory=dict)
    live: Collection[str] = frozenset()
    texts: Texts = field(default_factory=Texts)
    revisions: Mapping[str, int] = field(default_factory=dict)
    """By webinar: the revision that is rendered."""
    version: int | None = None
    """The highest version in table `webinar` that this process knows; None: it knows all."""
    drafts_too: bool = False
    pages_url: str = ""
    """Where registrants reach their pages; "" if there are none."""

    @property
    def sender(self) -> str:
        """The sender's address of any live webinar; "" if there is none."""
        return next((self.webinars[name].sender.address for name in self.live if name in self.webinars), "")


class Sender:
    """Sends the backlog; `send_over` runs once for each connection."""

    def __init__(
        self,
        clock: Clock,
        backlog: Backlog,
        recorder: Recorder,
        may_write_to: Callable[[str], bool],
        taken: Callable[[int], None],
        lost: Callable[[], None],
    ) -> None:
        """`taken(number)`: called when mails have left the backlog. `lost()`: called when the ledger holds leases of
        ours on deliveries that are discarded here."""
        self.job = Job()
        self.draining = False
        self._stencils = Stencils()
        self.on_the_wire: set[asyncio.Task[None] | None] = set()  # tasks whose mails may be `sending`
        self._clock, self._backlog, self._recorder = clock, backlog, recorder
        self._may_write_to, self._taken, self._lost = may_write_to, taken, lost

    async def send_over(self, relay: Relay, connection: Connection) -> None:
        """Send until the backlog is empty, or the connection or the relay is in trouble. Raises DayIsFull."""
        flight = Flight(relay, connection, self._clock, self._recorder, self._backlog)
        try:
            while group := await self._next_group(flight, connection.window):
                await self._send(flight, group)
                if relay.standing.trouble or not connection.usable:
                    break
        finally:
            await asyncio.shield(flight.conclude())  # even if this task is cancelled

    async def _next_group(self, flight: Flight, most: int, *, joins: bool = False) -> list[OutgoingMail]:
        """At most `most` mails that may begin now; `joins`: beside others in flight. Empty: there is nothing to send,
        or it must not be sent now."""
        relay, group = flight.relay, list[OutgoingMail]()
        while not group:
            share = -(-self._backlog.free // relay.allowed)  # few mails are spread over the connections
            with self._backlog.reserve(1 if relay.standing.trouble else min(most, share)) as wanted:
                turns = await relay.pace.turns(wanted) if wanted else 0
            if not turns or self.draining or relay.standing.is_paused(self._clock.now()):
                return []
            group = await self._render(flight, turns, joins)
            if joins:
                break
        self._taken(len(group))
        return group

    async def _render(self, flight: Flight, number: int, joins: bool) -> list[OutgoingMail]:
        """Render up to `number` mails from the backlog; hold the deliveries that cannot be rendered. A mail that is
        held when it is in doubt makes a group of its own: a kill puts no other in doubt with it."""
        group: list[OutgoingMail] = []
        held: list[Outcome] = []
        unwanted: list[Claimed] = []
        while len(group) < number and (item := self._backlog.pop()):
            webinar = self.job.webinars.get(item[0].webinar)
            if webinar is None or not self._governs(item[0]):
                unwanted.append(item[0])
                continue
            alone = goes_alone(webinar)
            if alone and (group or joins):
                self._backlog.put_back(item)
                break
            rendered = self._render_one(flight, webinar, item)
            if isinstance(rendered, Outcome):
                held.append(rendered)
                continue
            group.append(rendered)
            if alone:
                break
        if unwanted:
            self._backlog.discard(unwanted)
            self._lost()
        await flight.record(held)
        return group

    def _governs(self, claimed: Claimed) -> bool:
        """Whether the revision by which this delivery was claimed still governs."""
        webinar, job = claimed.webinar, self.job
        return webinar in job.live and job.revisions.get(webinar) == claimed.revision_id

    def _render_one(self, flight: Flight, webinar: Webinar, item: Item) -> OutgoingMail | Outcome:
        """Render one delivery; the outcome of a delivery that must be held instead."""
        claimed, last = item
        now, eight_bit = self._clock.now(), flight.connection.offers("8BITMIME")
        try:
            if not self._may_write_to(claimed.address):
                return _held(claimed, now, Why.CONFIG)
            live = self.job.texts.find(webinar, claimed.message, claimed.language)
            if live is None:
                return _held(claimed, now, Why.TEMPLATE)
            render = partial(
                self._stencils.render, claimed, webinar, live, last, now, flight.relay.name,
                told=claimed.told, pages_url=self.job.pages_url,
            )  # fmt: skip
            rendered = render(eight_bit=eight_bit)
            in_7_bits = (lambda: render(eight_bit=False).written) if eight_bit else None
            mail = Mail.checked(webinar.sender.address, claimed.address, *rendered.written, in_7_bits)
        except Exception as error:  # any error that a text or a value causes
            log.error("delivery held", delivery=claimed.id, error=type(error).__name__)
            return _held(claimed, now, Why.DATA)
        return OutgoingMail(rendered.start, mail, webinar)

    async def _send(self, flight: Flight, group: Sequence[OutgoingMail]) -> None:
        """Begin these mails and send them."""
        task = asyncio.current_task()
        self.on_the_wire.add(task)  # as soon as it may be `sending`
        try:
            if begun := await flight.begin(group):
                await self._send_begun(flight, begun)
        finally:
            self.on_the_wire.discard(task)

    async def _send_begun(self, flight: Flight, begun: Sequence[OutgoingMail]) -> None:
        """Send these mails, and others that join them while they are in flight."""
        relay, connection = flight.relay, flight.connection

        async def more(results: list[Reply | RelayFailure]) -> list[Mail]:
            note_waiting(False)
            try:
                flight.land(results)
                room = connection.room(len(flight))
                if room < 1 or relay.standing.trouble or not relay.pace.unlimited:
                    return []
                return self._mails(await flight.begin(await self._next_group(flight, room, joins=True)))
            finally:
                note_waiting(True)

        try:
            with relay.waits() as note_waiting:
                flight.land(await connection.send_all(self._mails(begun), None if begun[0].alone else more))
        except Exception:
            flight.lose()
            raise

    def _mails(self, begun: Iterable[OutgoingMail]) -> list[Mail]:
        """These mails for a connection, each with the check whether it may still go out."""
        now = self._clock.now()
        return [replace(ready.mail, may_go=partial(self._may_go, ready, now)) for ready in begun]

    def _may_go(self, ready: OutgoingMail, begun_at: datetime, announced: bool) -> bool:
        """Whether this mail may still go out; `announced`: its envelope already has. A plan that changed since it began
        is noticed when it begins again."""
        if self.draining or announced:
            return not self.draining
        claimed = ready.start.claimed
        return self._clock.now() < min(claimed.expires_at, begun_at + FRESH) and self._governs(claimed)


def _held(claimed: Claimed, now: datetime, why: Why) -> Outcome:
    return Outcome(claimed, State.HELD, now, attempt="not_sent", reason=why, counts=False)
