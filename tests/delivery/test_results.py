"""What a relay's answer to one mail means, as a table: the delivery's outcome, and the effect on the relay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.delivery.results import (
    ACCEPTED,
    NO_EFFECT,
    Effect,
    Pause,
    decide,
    decide_unopened,
    refuses_connection,
)
from scheduler.ledger.entries import Claimed, Outcome, OutcomeState
from scheduler.ledger.states import State
from scheduler.smtp.failures import Doubtful, NotBegun, Refused, RelayFailure, Unreachable
from scheduler.smtp.replies import FIRST_WAIT, LONGEST_WAIT, Reply, Stage, Verdict, classify, read_reply
from tests.support import utc

NOW = utc("2025-07-02 07:00")
ANN = Claimed(
    7, "token", 70, "uid", "w", NOW, "confirmation", attempts=0, message_id="", expires_at=NOW + timedelta(hours=1),
    address="reader@example.org", name="Ann Ng", language="en", zone="Africa/Abidjan", zone_known_by="row", join_url="",
    first_seen_at=NOW, revision_id=1,
)  # fmt: skip
JITTER = 0.5  # adds nothing and takes nothing away
R, P, F, S = Verdict.RETRY_MAIL, Verdict.PAUSE_RELAY, Verdict.FAIL_ADDRESS, Verdict.STOP


def decided(
    result: Reply | RelayFailure, claimed: Claimed = ANN, *, others: bool = False
) -> tuple[Outcome, Effect]:
    verdict = classify(result.reply) if isinstance(result, RelayFailure) else None
    return decide(claimed, result, verdict, NOW, others=others, jitter=JITTER)


def refused(stage: Stage, code: int, text: str) -> Refused:
    return Refused(read_reply(stage, code, text))


def test_an_accepted_mail_is_sent_and_ends_the_trouble_of_its_relay() -> None:
    outcome, effect = decided(read_reply("content", 250, "2.0.0 Ok: queued as 4F"))
    assert outcome == Outcome(
        ANN, State.SENT, NOW, "sent", "", None, True, "content", 250, "2.0.0", "Ok: queued as 4F"
    )
    assert effect is ACCEPTED


def test_a_mail_that_was_not_begun_is_pending_without_a_wait_and_concerns_no_relay() -> None:
    outcome, effect = decided(NotBegun())
    assert outcome == Outcome(ANN, State.PENDING, NOW, "not_sent", counts=False)
    assert effect is NO_EFFECT


# result, state, attempt, reason, wait until it is tried again, whether it counts; verdict and stage of the pause, slows
TABLE: tuple[tuple[RelayFailure, OutcomeState, str, str, int | None, bool, Verdict | None, bool], ...] = (
    (refused("rcpt", 451, "4.3.0 later"), State.PENDING, "deferred", "", 60, True, None, False),
    (refused("rcpt", 450, "again in 300 seconds"), State.PENDING, "deferred", "", 301, True, None, False),
    (refused("content", 554, "no reason"), State.PENDING, "deferred", "", 60, True, None, False),
    (refused("rcpt", 550, "5.1.1 User unknown"), State.FAILED, "refused", "refused: 550 5.1.1", 60, True, None, False),
    (refused("rcpt", 550, "User unknown"), State.FAILED, "refused",
     "refused: 550, unknown address", 60, True, None, False),
    (refused("rcpt", 552, "5.2.2 Mailbox full"), State.FAILED, "refused", "refused: 552 5.2.2", 60, True, None, False),
    (refused("mail", 451, "4.3.2 later"), State.PENDING, "deferred", "", None, False, P, False),
    (refused("mail", 550, "5.7.1 Sender refused"), State.PENDING, "deferred", "", None, False, S, False),
    (refused("rcpt", 452, "4.3.1 Insufficient storage"), State.PENDING, "deferred", "", None, False, P, True),
    (refused("rcpt", 450, "4.7.1 too much mail from you"), State.PENDING, "deferred", "", None, False, P, True),
    (refused("rcpt", 554, "5.7.1 Relay access denied"), State.PENDING, "deferred", "", None, False, S, False),
    (refused("content", 421, "4.7.0 Try again later"), State.PENDING, "deferred", "", None, False, P, True),
    (Unreachable(read_reply("data", 0, "Connection lost")), State.PENDING, "deferred", "", None, False, P, False),
    (Unreachable(read_reply("connect", 0, "refused")), State.PENDING, "deferred", "", None, False, P, False),
    (Refused(read_reply("auth", 535, "5.7.8 no")), State.PENDING, "deferred", "", None, False, S, False),
    (Doubtful(read_reply("content", 0, "Connection lost")), State.IN_DOUBT, "in_doubt",
     "the relay's answer was lost", 60, True, None, False),
)  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "state", "attempt", "reason", "seconds", "counts", "pauses", "slows"),
    TABLE,
    ids=[str(row[0]) for row in TABLE],
)
def test_each_failure_has_an_outcome_and_an_effect(
    failure: RelayFailure,
    state: OutcomeState,
    attempt: str,
    reason: str,
    seconds: int | None,
    counts: bool,
    pauses: Verdict | None,
    slows: bool,
) -> None:
    outcome, effect = decided(failure)
    reply = failure.reply
    again_at = None if seconds is None else NOW + timedelta(seconds=seconds)
    assert outcome == Outcome(
        ANN,
        state,
        NOW,
        attempt,
        reason,
        again_at,
        counts,
        reply.stage,
        reply.code,
        reply.enhanced,
        reply.text,
    )
    assert (effect.pause.verdict if effect.pause else None) is pauses
    assert effect.pause is None or effect.pause.stage == reply.stage
    assert (effect.accepted, effect.slows) == (False, slows)
    assert effect.words


@pytest.mark.parametrize(
    ("stage", "holds"),
    [
        ("connect", False),
        ("ehlo", False),
        ("starttls", False),
        ("auth", False),
        ("mail", False),
        ("rcpt", True),
        ("data", True),
        ("content", True),
    ],
)
def test_a_mail_waits_for_the_end_of_a_pause_that_it_met_itself(stage: Stage, holds: bool) -> None:
    assert Pause(P, stage, None).holds_mail is holds


def test_a_pause_is_not_shorter_than_the_reply_asks() -> None:
    _, effect = decided(refused("mail", 451, "4.3.2 try again in 10 minutes"))
    assert effect.pause == Pause(P, "mail", NOW + timedelta(seconds=601))


@pytest.mark.parametrize(("attempts", "wait"), [(0, 1), (1, 2), (2, 4), (4, 16)])
def test_each_attempt_waits_twice_as_long_as_the_one_before(attempts: int, wait: int) -> None:
    outcome, _ = decided(refused("rcpt", 451, "later"), replace(ANN, attempts=attempts))
    assert outcome.again_at == NOW + wait * FIRST_WAIT


def test_no_reply_makes_a_mail_wait_for_more_than_an_hour() -> None:
    outcome, _ = decided(refused("rcpt", 451, "4.7.1 greylisted, try again in 20 hours"))
    assert outcome.again_at == NOW + LONGEST_WAIT


@pytest.mark.parametrize(
    "failure",
    [
        refused("connect", 421, "4.3.2 too many connections"),
        refused("auth", 535, "5.7.8 no"),
        Unreachable(read_reply("starttls", 0, "certificate verify failed")),
    ],
    ids=str,
)
def test_a_refused_connection_costs_nothing_while_others_work(failure: RelayFailure) -> None:
    outcome, effect = decided(failure, others=True)
    reply = failure.reply
    assert outcome == Outcome(
        ANN,
        State.PENDING,
        NOW,
        "deferred",
        "",
        None,
        False,
        reply.stage,
        reply.code,
        reply.enhanced,
        reply.text,
    )
    assert effect == Effect(refuses_connection=True, words=str(failure))
    _, alone = decided(failure)
    assert alone.refuses_connection
    assert alone.pause, "it refuses everybody"


@pytest.mark.parametrize(
    ("stage", "code", "text", "refuses"),
    [
        ("connect", 421, "too many", True),
        ("ehlo", 450, "busy", True),
        ("auth", 535, "no", True),
        ("auth", 0, "gone", True),
        ("starttls", 0, "certificate verify failed", True),
        ("connect", 554, "no", False),
        ("connect", 0, "Connection lost", False),
        ("mail", 421, "too many connections", False),
    ],
)
def test_which_replies_refuse_one_connection(stage: Stage, code: int, text: str, refuses: bool) -> None:
    assert refuses_connection(read_reply(stage, code, text)) is refuses


def test_the_words_for_logs_hold_no_personal_data() -> None:
    _, effect = decided(refused("rcpt", 550, "5.7.1 <reader@example.org> (Ann Ng): relay access denied"))
    assert effect.words == "rcpt: 550 5.7.1 <address> (<name>): relay access denied"


def test_a_connection_that_could_not_be_opened_pauses_its_relay() -> None:
    failure = refused("connect", 421, "4.3.2 too many connections, retry in 2 minutes")
    effect = decide_unopened(failure, P, NOW)
    pause = Pause(P, "connect", NOW + timedelta(seconds=121))
    assert effect == Effect(slows=True, pause=pause, words=str(failure))
