"""The mails in flight over one connection, from `sending` on record until their outcomes are on record."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from scheduler.clock import Clock
from scheduler.delivery.backlog import Backlog
from scheduler.delivery.figures import count_begun, count_landed
from scheduler.delivery.recorder import Recorder
from scheduler.delivery.relay import Relay, wait
from scheduler.delivery.results import decide
from scheduler.input.addresses import fold
from scheduler.ledger.entries import Outcome, Start
from scheduler.ledger.states import State
from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import NotBegun, RelayFailure
from scheduler.smtp.pool import Connection
from scheduler.smtp.replies import Reply
from scheduler.webinar.model import Webinar

log = structlog.get_logger()


@dataclass(frozen=True)
class OutgoingMail:
    """A rendered mail, and what the ledger must hold before it goes."""

    start: Start
    mail: Mail
    webinar: Webinar

    @property
    def alone(self) -> bool:
        """Whether no other mail may be in flight on its connection: a kill puts no other in doubt with it."""
        return goes_alone(self.webinar)


class Flight:
    """The mails in flight over one connection, the oldest first, and the outcomes that are not on record yet."""

    def __init__(
        self, relay: Relay, connection: Connection, clock: Clock, recorder: Recorder, backlog: Backlog
    ) -> None:
        self.relay, self.connection = relay, connection
        self._clock, self._recorder, self._backlog = clock, recorder, backlog
        self._mails: deque[OutgoingMail] = deque()
        self._outcomes: list[Outcome] = []

    def __len__(self) -> int:
        return len(self._mails)

    async def begin(self, mails: Sequence[OutgoingMail]) -> list[OutgoingMail]:
        """Record the starts of these mails, and the outcomes so far, in one transaction. Returns the mails whose lease
        we still hold: they are in flight from now on."""
        ids = await self._recorder.write(self._outcomes, [one.start for one in mails])
        self._backlog.discard(outcome.claimed for outcome in self._outcomes)
        self._outcomes.clear()
        begun = [one for one in mails if one.start.claimed.id in ids]
        count_begun(one.start for one in begun)
        self._backlog.discard(one.start.claimed for one in mails if one.start.claimed.id not in ids)
        self._mails += begun
        return begun

    def land(self, results: Sequence[Reply | RelayFailure]) -> None:
        """Take the results of the oldest mails, which are no longer in flight, and apply the effects on the relay."""
        starts = [self._mails.popleft().start for _ in results]
        outcomes = [self._outcome(start, result) for start, result in zip(starts, results, strict=True)]
        count_landed(self.relay.name, starts, outcomes)
        if sent := sum(outcome.state is State.SENT for outcome in outcomes):
            self.relay.pace.note_accepted(sent)
        self._outcomes += outcomes

    def lose(self) -> None:
        """Put all mails in flight in doubt, after an error of ours: any of them may have gone out."""
        now = self._clock.now()
        for claimed in (one.start.claimed for one in self._mails):
            again_at = now + wait(claimed.attempts + 1)
            self._outcomes.append(
                Outcome(claimed, State.IN_DOUBT, now, "in_doubt", "sending failed", again_at)
            )
        self._mails.clear()

    async def conclude(self) -> None:
        """Record the outcomes so far."""
        await self.record(self._outcomes)

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record these outcomes and end their leases."""
        await self._recorder.write(outcomes)
        self._backlog.discard(outcome.claimed for outcome in outcomes)

    def _outcome(self, start: Start, result: Reply | RelayFailure) -> Outcome:
        """Decide about one result, and apply its effect on the relay."""
        relay, claimed, now = self.relay, start.claimed, self._clock.now()
        verdict = None
        if isinstance(result, RelayFailure) and not isinstance(result, NotBegun):
            verdict = relay.standing.verdict(fold(claimed.address), result.reply)
        others, jitter = relay.has_others, random.random()  # noqa: S311 (jitter, no secret)
        outcome, effect = decide(claimed, result, verdict, now, others=others, jitter=jitter)
        if effect.words:
            log.warning(
                "not sent", delivery=claimed.id, relay=relay.name, verdict=str(verdict), reply=effect.words
            )
        paused_until = relay.apply(effect, now)
        if paused_until and effect.pause and effect.pause.holds_mail:
            return replace(outcome, again_at=paused_until)
        return outcome


def goes_alone(webinar: Webinar) -> bool:
    """Whether mails of this webinar go one at a time: a mail in doubt is held, so a kill must put only one in doubt."""
    return webinar.on_doubt == "hold"
