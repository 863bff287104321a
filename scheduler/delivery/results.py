"""Decides about the result of a mail: the outcome of its delivery, and the effect on its relay. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from scheduler.ledger.entries import Claimed, Outcome, OutcomeState
from scheduler.ledger.states import State, why_refused
from scheduler.smtp.failures import Doubtful, NotBegun, RelayFailure
from scheduler.smtp.moments import named_moment
from scheduler.smtp.replies import (
    LONGEST_WAIT,
    OPENING,
    Reply,
    Stage,
    Verdict,
    asks_for_less,
    backoff,
    classify,
    log_safe,
    says_unknown,
)


@dataclass(frozen=True)
class Pause:
    """A pause of the relay, with the stage of the reply that caused it (`Standing.pause`)."""

    verdict: Verdict
    stage: Stage
    named: datetime | None
    """The instant (UTC) that the reply names; the pause is not shorter."""

    @property
    def holds_mail(self) -> bool:
        """Whether the mail itself waits until the end of the pause. A connection that was not opened and a refused
        sender have nothing to do with the mail: once the relay is well, it goes at once."""
        return self.stage not in (*OPENING, "mail")


@dataclass(frozen=True)
class Effect:
    """The effect of a result on the relay, for `Relay.apply`; none by default."""

    accepted: bool = False
    """The relay accepted a mail, which ends its trouble."""
    refuses_connection: bool = False
    """The relay refused a connection; others may go on working."""
    slows: bool = False
    """The relay asks for fewer mails at a time."""
    pause: Pause | None = None
    words: str = ""
    """The relay's reply to a mail that was not accepted, without personal data."""


ACCEPTED, NO_EFFECT = Effect(accepted=True), Effect()


def decide(
    claimed: Claimed,
    result: Reply | RelayFailure,
    verdict: Verdict | None,
    now: datetime,
    *,
    others: bool,
    jitter: float,
) -> tuple[Outcome, Effect]:
    """The outcome of this delivery, and the effect of its result on the relay.

    `verdict`: of the relay's standing about a failure; None: accepted, or not begun. `others`: whether other
    connections to the relay are in use. `jitter`: as for `backoff`. A mail that waits for the end of a pause
    (`Pause.holds_mail`) gets its `again_at` from `Relay.apply`.
    """
    if isinstance(result, Reply):
        return _outcome(claimed, State.SENT, now, "sent", result), ACCEPTED
    if isinstance(result, NotBegun):
        return Outcome(claimed, State.PENDING, now, "not_sent", counts=False), NO_EFFECT
    return _decide_failure(claimed, result, verdict, now, others, jitter)


def _decide_failure(
    claimed: Claimed,
    failure: RelayFailure,
    verdict: Verdict | None,
    now: datetime,
    others: bool,
    jitter: float,
) -> tuple[Outcome, Effect]:
    reply = failure.reply
    words = log_safe(str(reply), claimed.address, claimed.name)
    refuses = refuses_connection(reply)
    if refuses and others:  # a broken connection that was to be opened again
        outcome = _outcome(claimed, State.PENDING, now, "deferred", reply, counts=False)
        return outcome, Effect(refuses_connection=True, words=words)
    effect = Effect(refuses_connection=refuses, slows=asks_for_less(reply), words=words)
    named = named_moment(reply.text, now)
    again_at = max(now + backoff(claimed.attempts + 1, jitter), min(named or now, now + LONGEST_WAIT))
    if isinstance(failure, Doubtful):  # no pause: if the relay is down, the next connection shows it
        lost = "the relay's answer was lost"
        return _outcome(claimed, State.IN_DOUBT, now, "in_doubt", reply, lost, again_at), effect
    if verdict is Verdict.FAIL_ADDRESS:
        why = why_refused(reply.code, reply.enhanced, unknown=says_unknown(reply))
        return _outcome(claimed, State.FAILED, now, "refused", reply, why, again_at), effect
    if verdict is Verdict.PAUSE_RELAY or verdict is Verdict.STOP:
        outcome = _outcome(claimed, State.PENDING, now, "deferred", reply, counts=False)
        return outcome, replace(effect, pause=Pause(verdict, reply.stage, named))
    return _outcome(claimed, State.PENDING, now, "deferred", reply, "", again_at), effect


def decide_unopened(failure: RelayFailure, verdict: Verdict, now: datetime) -> Effect:
    """The effect on the relay of a connection that could not be opened."""
    reply = failure.reply
    pause = Pause(verdict, reply.stage, named_moment(reply.text, now))
    return Effect(slows=asks_for_less(reply), pause=pause, words=str(failure))


def refuses_connection(reply: Reply) -> bool:
    """Whether this reply refuses one connection while others may go on working: the relay has enough of them, or a
    new password or authority is wrong, so that nobody signs in any more."""
    nobody_gets_in = reply.stage == "auth" or (not reply.code and classify(reply) is Verdict.STOP)
    return reply.stage in OPENING and (reply.code // 100 == 4 or nobody_gets_in)


def _outcome(
    claimed: Claimed,
    state: OutcomeState,
    now: datetime,
    attempt: str,
    reply: Reply,
    reason: str = "",
    again_at: datetime | None = None,
    *,
    counts: bool = True,
) -> Outcome:
    return Outcome(
        claimed, state, now, attempt, reason, again_at, counts, reply.stage, reply.code, reply.enhanced, reply.text
    )  # fmt: skip
