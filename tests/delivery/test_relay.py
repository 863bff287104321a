"""How a relay stands, and which of two is used."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from scheduler.delivery.pace import Pace
from scheduler.delivery.relay import (
    ANOTHER_SECONDS,
    FIRST_STOP_PAUSES,
    SILENT_SECONDS,
    STOP_PAUSE,
    Relay,
    Standing,
    wanted_workers,
)
from scheduler.smtp.pool import Pool, RelaySettings
from scheduler.smtp.replies import Reply, Verdict, read_reply
from tests.support import utc

NOW = utc("2025-06-12 08:00")
BUSY: Reply = read_reply("connect", 421, "4.3.2 too busy")
SPAM: Reply = read_reply("content", 554, "5.7.1 rejected as spam")


pytestmark = pytest.mark.usefixtures("loop")


def relay(name: str, connections: int = 3) -> Relay:
    return Relay(name, Pool(RelaySettings(f"{name}.test", 25)), Pace(None), connections)


def names(relays: list[Relay]) -> list[tuple[str, int]]:
    return [(one.name, number) for one, number in wanted_workers(relays, NOW)]


class TestStanding:
    def test_each_pause_is_longer_than_the_one_before_and_a_mail_that_goes_ends_them(self) -> None:
        standing, now, waits = Standing(), NOW, []
        for _ in range(4):
            until = standing.pause(now, "busy", Verdict.PAUSE_RELAY)
            waits.append(until - now)
            now = until
        assert all(later > earlier for earlier, later in pairwise(waits))
        standing.clear()
        assert (standing.trouble, standing.paused_until) == ("", None)
        assert standing.pause(now, "busy", Verdict.PAUSE_RELAY) - now <= waits[0] * 1.5

    def test_connections_that_fail_together_are_one_failure(self) -> None:
        standing = Standing()
        assert {standing.pause(NOW, "busy", Verdict.PAUSE_RELAY) for _ in range(10)} == {
            standing.paused_until
        }

    def test_a_stop_counts_though_a_pause_is_under_way(self) -> None:
        standing = Standing()
        standing.pause(NOW, "busy", Verdict.PAUSE_RELAY)
        assert standing.pause(NOW, "no", Verdict.STOP) == NOW + STOP_PAUSE
        assert standing.stopped

    def test_who_is_not_let_in_tries_again_soon_but_not_often(self) -> None:
        """A password that is changed there is changed here some seconds later, or the other way round."""
        standing, now, waits = Standing(), NOW, []
        for _ in range(4):
            until = standing.pause(now, "no", Verdict.STOP, "auth")
            waits.append((until - now).total_seconds())
            now = until
        assert waits == [15, 60, 300, 300]

    def test_connections_that_are_not_let_in_together_are_one_failure(self) -> None:
        standing = Standing()
        assert {standing.pause(NOW, "no", Verdict.STOP, "auth") for _ in range(10)} == {
            NOW + FIRST_STOP_PAUSES[0]
        }

    @pytest.mark.parametrize("reply", [SPAM, read_reply("rcpt", 554, "5.7.1 relay access denied")])
    def test_what_blames_the_sender_concerns_all_only_when_a_second_mail_meets_it(self, reply: Reply) -> None:
        standing = Standing()
        assert [standing.verdict(delivery, reply) for delivery in (1, 1, 2)] == [
            Verdict.RETRY_MAIL,
            Verdict.RETRY_MAIL,
            Verdict.STOP,
        ]

    def test_two_mails_to_one_recipient_confirm_nothing(self) -> None:
        standing = Standing()
        found = [standing.verdict(who, SPAM) for who in ("a@x.org", "a@x.org", "b@x.org", "a@x.org")]
        assert found == [Verdict.RETRY_MAIL, Verdict.RETRY_MAIL, Verdict.STOP, Verdict.RETRY_MAIL]

    def test_a_pause_that_one_met_and_a_stop_that_another_met_confirm_nothing(self) -> None:
        standing, full = Standing(), read_reply("rcpt", 452, "4.3.1 Insufficient system storage")
        assert standing.verdict("a@x.org", SPAM) is Verdict.RETRY_MAIL
        assert standing.verdict("b@x.org", full) is Verdict.RETRY_MAIL
        assert standing.verdict("c@x.org", full) is Verdict.PAUSE_RELAY

    def test_what_is_said_before_any_mail_concerns_all_at_once(self) -> None:
        assert Standing().verdict(0, BUSY) is Verdict.PAUSE_RELAY


class PassingTime(asyncio.SelectorEventLoop):
    """A loop whose clock a test moves."""

    passed = 0.0

    def time(self) -> float:
        return super().time() + self.passed


@pytest.fixture
def loop() -> Iterator[PassingTime]:
    """Runs while the test does: `Relay` asks it for the time."""
    loop = PassingTime()
    asyncio._set_running_loop(loop)
    yield loop
    asyncio._set_running_loop(None)
    loop.close()


class TestSilence:
    def test_who_waits_for_a_connection_for_long_means_silence(self, loop: PassingTime) -> None:
        here = relay("first")
        with here.waits(opening=True):
            loop.passed += SILENT_SECONDS - 1
            assert here.trouble == ""
            loop.passed += 2
            assert re.fullmatch(r"no answer for 3[01] s", here.trouble)
        assert here.trouble == ""

    def test_who_is_busy_with_the_ledger_does_not_wait_for_the_relay(self, loop: PassingTime) -> None:
        here = relay("first", connections=1)
        with here.waits() as heard:
            heard(False)
            loop.passed += 600
            assert here.trouble == ""
            heard(True)
            assert here.trouble == ""
            loop.passed += SILENT_SECONDS + 5
            assert here.trouble != ""

    def test_one_slow_reply_among_several_connections_is_no_silence(self, loop: PassingTime) -> None:
        here = relay("first", connections=2)
        with here.waits():
            loop.passed += 500
            assert here.trouble == ""
            with here.waits():
                assert here.trouble == "", "one has asked just now"
                loop.passed += SILENT_SECONDS + 1
                assert here.trouble != ""

    def test_the_second_relay_is_asked_while_the_first_is_silent(self, loop: PassingTime) -> None:
        first, second = relay("first"), relay("second")
        with first.waits(opening=True):
            loop.passed += SILENT_SECONDS + 1
            assert names([first, second]) == [("first", 1), ("second", 3)]
        assert names([first, second]) == [("first", 3)]


class TestEnoughConnections:
    def test_one_more_than_a_relay_bears_is_no_trouble_of_those_that_work(self, loop: PassingTime) -> None:
        here = relay("first", connections=3)
        with here.works(), here.works():
            assert here.has_enough(BUSY)
        assert names([here]) == [("first", 1)]

    def test_then_one_more_is_tried_every_five_minutes(self, loop: PassingTime) -> None:
        here = relay("first", connections=3)
        with here.works(), here.works():
            here.has_enough(BUSY)
        allowed = []
        for _ in range(4):
            allowed.append(here.allowed)
            loop.passed += ANOTHER_SECONDS
        assert allowed == [1, 2, 3, 3]

    def test_a_relay_that_refuses_everybody_is_in_trouble_and_then_bears_as_many_as_ever(self) -> None:
        here = relay("first", connections=3)
        with here.works():
            with here.works():
                assert here.has_enough(BUSY)
            assert not here.has_enough(BUSY)
        assert here.allowed == 3

    @pytest.mark.parametrize(
        "reply",
        [
            read_reply("auth", 535, "5.7.8 no"),
            read_reply("starttls", 0, "certificate verify failed: unknown"),
        ],
    )
    def test_so_does_a_new_secret_or_authority_that_is_wrong_while_others_work(self, reply: Reply) -> None:
        here = relay("first", connections=3)
        with here.works():
            with here.works():
                assert here.has_enough(reply)
                assert here.allowed == 1
            assert not here.has_enough(reply), "when none is left"

    @pytest.mark.parametrize(
        "reply", [SPAM, read_reply("connect", 554, "no"), read_reply("connect", 0, "gone")]
    )
    def test_no_other_reply_says_so(self, reply: Reply) -> None:
        here = relay("first", connections=3)
        with here.works(), here.works():
            assert not here.has_enough(reply)
        assert here.allowed == 3


class TestWhichRelay:
    def test_the_first_that_stands_well_and_no_other(self) -> None:
        assert names([relay("first"), relay("second")]) == [("first", 3)]

    def test_the_second_while_the_first_is_paused(self) -> None:
        first, second = relay("first"), relay("second")
        first.standing.pause(NOW, "busy", Verdict.PAUSE_RELAY)
        assert names([first, second]) == [("second", 3)]

    def test_when_the_pause_is_over_one_connection_asks_whether_the_first_is_back(self) -> None:
        first, second = relay("first"), relay("second")
        first.standing.pause(NOW - timedelta(minutes=1), "busy", Verdict.PAUSE_RELAY)
        assert names([first, second]) == [("first", 1), ("second", 3)]

    def test_none_while_both_are_paused(self) -> None:
        both = [relay("first"), relay("second")]
        for one in both:
            one.standing.pause(NOW, "busy", Verdict.PAUSE_RELAY)
        assert names(both) == []

    def test_a_day_that_is_full_is_rest_not_trouble_of_the_relay(self) -> None:
        first, second = relay("first"), relay("second")
        first.standing.rest(NOW + timedelta(hours=9), "the day is full")
        assert names([first, second]) == [("second", 3)]
        assert not first.standing.stopped
