"""Refusals that are not about their recipients give nobody up; an address that no relay knows gets no next message.
Over real SMTP."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.delivery.dispatcher import Dispatcher
from scheduler.delivery.pace import Pace
from scheduler.delivery.relay import DOUBT_PAUSE, Relay
from scheduler.ledger.refusals import AGAIN_AFTER, MOST_GIVEN_UP, retry_address
from scheduler.ledger.states import Why
from scheduler.smtp.pool import Pool, RelaySettings
from tests.delivery.test_dispatcher import ANNOUNCED, Desk
from tests.smtp.scripted import ScriptedServer
from tests.smtp_server import MailServer, in_loop
from tests.support import utc, webinar

pytestmark = pytest.mark.engines("sqlite")

REMINDER = utc("2025-07-02 07:00")
UNKNOWN = "550 5.1.1 No such user"
SKIPPED = f"skipped: {Why.UNKNOWN_ADDRESS}"


def strangers(number: int, domain: str = "domain-{}.test", first: int = 0) -> list[str]:
    return [f"p{one}@{domain.format(one)}" for one in range(first, first + number)]


class Room(Desk):
    """With people of many domains."""

    async def register_and_send(self, *addresses: str) -> None:
        for address in addresses:
            self.ledger.register(address)
        await self.send()

    def confirmations(self) -> dict[str, str]:
        rows = self.ledger.sql(
            "SELECT r.address, d.state FROM delivery d JOIN registration r ON r.id = d.registration_id"
            " WHERE d.message = 'confirmation'"
        )
        return {row.address: row.state for row in rows}

    def failed(self) -> int:
        return list(self.confirmations().values()).count("failed")

    async def go_on(self, by: timedelta) -> None:
        self.clock.move_to(self.clock.now() + by)
        await self.send()


def refusing(*addresses: str, reply: str = UNKNOWN) -> dict[str, str]:
    return dict.fromkeys(addresses, reply)


# In a row


@pytest.mark.engines("both")
@in_loop
async def test_many_of_several_domains_are_refused_alike_and_nobody_is_given_up(database: Database) -> None:
    people = strangers(9)
    async with MailServer(refusals=refusing(*people)) as server:
        here = Room(database, server)
        await here.register_and_send(*people)
        assert set(here.confirmations().values()) == {"pending"}
        assert here.dispatcher.stopped, "of which organizers are alerted"
        assert "recipients of" in here.dispatcher.trouble
        assert here.dispatcher.paused_until == ANNOUNCED + DOUBT_PAUSE
        server.refusals = {}
        await here.go_on(AGAIN_AFTER)
        assert set(here.confirmations().values()) == {"sent"}
        assert not here.dispatcher.stopped
        await here.close()


@in_loop
async def test_those_who_were_given_up_before_it_showed_are_tried_again(database: Database) -> None:
    people = strangers(MOST_GIVEN_UP + 1)
    async with MailServer(refusals=refusing(*people)) as server:
        here = Room(database, server)
        for number, one in enumerate(people[:-1], 1):
            await here.register_and_send(one)
            assert here.failed() == number
        await here.register_and_send(people[-1])
        assert here.failed() == 0
        assert here.dispatcher.stopped
        server.refusals = {}
        await here.go_on(AGAIN_AFTER)
        assert list(here.confirmations().values()) == ["sent"] * len(people)
        await here.close()


@in_loop
async def test_a_restart_forgets_none_of_them(database: Database) -> None:
    people = strangers(MOST_GIVEN_UP + 1)
    async with MailServer(refusals=refusing(*people)) as server:
        for one in people:
            here = Room(database, server)  # each with a dispatcher that knows nothing
            await here.register_and_send(one)
            await here.close()
        assert here.failed() == 0
        assert here.dispatcher.stopped


@pytest.mark.engines("both")
@in_loop
async def test_replicas_together_give_up_no_more_than_one(database: Database) -> None:
    people = strangers(24)
    async with MailServer(refusals=refusing(*people)) as server:
        here = Room(database, server, connections=4)
        others = [another(here, database, server, number) for number in (1, 2)]
        for address in people:
            here.ledger.register(address)
        here.ledger.plan(here.clock.now())
        dispatchers = [here.dispatcher, *others]
        for one in dispatchers:
            one.wake()
        await asyncio.gather(*(one.until_idle() for one in dispatchers))
        assert here.failed() <= MOST_GIVEN_UP
        assert any(one.stopped for one in dispatchers)
        for one in others:
            await one.drain(0)
        await here.close()


def another(here: Room, database: Database, server: MailServer, holder: int) -> Dispatcher:
    """A dispatcher of another service on the same ledger."""
    relay = Relay("relay", Pool(RelaySettings(server.host, server.port, tls="none", timeout=5)), Pace(), 1)
    dispatcher = Dispatcher(database, VirtualClock(here.clock.now()), [relay], holder=holder)
    dispatcher.job = here.dispatcher.job
    return dispatcher


@in_loop
async def test_people_of_one_domain_may_all_be_unknown(database: Database) -> None:
    people = strangers(9, "closed.test")
    async with MailServer(refusals=refusing(*people)) as server:
        here = Room(database, server)
        await here.register_and_send(*people)
        assert here.failed() == len(people)
        assert here.dispatcher.trouble == ""
        await here.close()


@in_loop
async def test_where_others_are_accepted_between_them_each_fails_alone(database: Database) -> None:
    people = strangers(9)
    async with MailServer(refusals=refusing(*people)) as server:
        here = Room(database, server)
        for number, one in enumerate(people):
            await here.register_and_send(one)
            if number % 4 == 3:
                await here.register_and_send(f"right{number}@people.test")
        assert here.failed() == len(people)
        assert here.dispatcher.trouble == ""
        await here.close()


@in_loop
async def test_who_is_wrong_indeed_fails_once_anybody_was_accepted(database: Database) -> None:
    people = strangers(7)
    async with MailServer(refusals=refusing(*people)) as server:
        here = Room(database, server)
        await here.register_and_send(*people)
        await here.go_on(DOUBT_PAUSE)
        here.clock.move_to(here.clock.now() + DOUBT_PAUSE)
        await here.register_and_send("right@people.test")
        assert here.confirmations()["right@people.test"] == "sent"
        assert here.dispatcher.trouble == ""
        await here.go_on(AGAIN_AFTER)
        assert here.failed() == 0, "in a row again"
        assert here.dispatcher.trouble == "", "but the relay has proven that it takes others"
        for number in range(60):
            if here.failed() == len(people):
                break
            here.clock.move_to(here.clock.now() + AGAIN_AFTER)
            await here.register_and_send(f"right{number}@people.test")
        assert here.failed() == len(people)
        await here.close()


@in_loop
async def test_refusals_of_another_kind_between_them_change_nothing(database: Database) -> None:
    known, full = strangers(5), strangers(3, first=10)
    async with MailServer(
        refusals=refusing(*known) | refusing(*full, reply="552 5.2.2 Mailbox full")
    ) as server:
        here = Room(database, server)
        for one in (*known[:3], *full, *known[3:]):
            await here.register_and_send(one)
        assert here.failed() == 8
        server.refusals |= refusing("p99@elsewhere.test")
        await here.register_and_send("p99@elsewhere.test")
        assert {one for one, state in here.confirmations().items() if state == "failed"} == set(full)
        await here.close()


@in_loop
async def test_what_is_not_understood_pauses_the_relay_when_it_meets_all(database: Database) -> None:
    people = strangers(12)
    async with MailServer(refusals=refusing(*people, reply="550 Computer says no")) as server:
        here = Room(database, server)
        await here.register_and_send(*people)
        assert here.dispatcher.stopped
        assert set(here.confirmations().values()) == {"pending"}
        tried = len(here.attempts())
        assert tried < len(people), "the others are not asked one by one"
        await here.close()


@in_loop
async def test_a_relay_in_doubt_is_asked_by_one_mail_a_minute(database: Database) -> None:
    people = strangers(12)
    async with MailServer(refusals=refusing(*people)) as server:
        here = Room(database, server)
        await here.register_and_send(*people)
        for _ in range(3):
            before = len(here.attempts())
            await here.go_on(DOUBT_PAUSE)
            assert len(here.attempts()) == before + 1
        assert here.failed() == 0
        await here.close()


# Unknown


def messages(here: Room, address: str) -> dict[str, str]:
    return here.ledger.states(address)


@pytest.mark.engines("both")
@in_loop
async def test_after_an_unknown_address_nothing_more_is_tried(database: Database) -> None:
    async with MailServer(refusals=refusing("typo@people.test")) as server:
        here = Room(database, server)
        await here.register_and_send("typo@people.test", "right@people.test")
        await here.send()
        assert messages(here, "typo@people.test") == {
            "confirmation": "failed: refused: 550 5.1.1",
            "reminder-day": SKIPPED,
            "reminder-hour": SKIPPED,
            "follow-up": SKIPPED,
        }
        here.clock.move_to(REMINDER)
        await here.send()
        assert messages(here, "right@people.test")["reminder-day"] == "sent"
        tried = [line for line in here.attempts() if line[0] == "refused"]
        assert len(tried) == 1
        await here.close()


@pytest.mark.parametrize("reply", ["550 User unknown", "550 5.1.10 RESOLVER.ADR.RecipientNotFound"])
@in_loop
async def test_it_need_not_be_said_by_that_code(database: Database, reply: str) -> None:
    async with MailServer(refusals=refusing("typo@people.test", reply=reply)) as server:
        here = Room(database, server)
        await here.register_and_send("typo@people.test")
        await here.send()
        assert messages(here, "typo@people.test")["reminder-day"] == SKIPPED
        await here.close()


@in_loop
async def test_a_full_mailbox_is_tried_again_by_the_next_message(database: Database) -> None:
    async with MailServer(refusals=refusing("full@people.test", reply="552 5.2.2 Mailbox full")) as server:
        here = Room(database, server)
        await here.register_and_send("full@people.test")
        await here.send()
        assert messages(here, "full@people.test")["reminder-day"] == "pending"
        await here.close()


@in_loop
async def test_a_corrected_row_gets_all_that_is_still_ahead(database: Database) -> None:
    async with MailServer(refusals=refusing("typo@people.test")) as server:
        here = Room(database, server)
        await here.register_and_send("typo@people.test")
        await here.send()
        here.ledger.sql("UPDATE registrants SET email = 'right@people.test'")
        await here.send()
        found = here.ledger.deliveries("right@people.test")
        states = {(row["message"], row["edition"]): row["state"] for row in found}
        assert states["confirmation", 1] == "sent"
        assert states["reminder-day", 0] == "pending"
        here.clock.move_to(REMINDER)
        await here.send()
        assert messages(here, "right@people.test")["reminder-day"] == "sent"
        await here.close()


@in_loop
async def test_who_registers_again_with_another_address_gets_everything(database: Database) -> None:
    async with MailServer(refusals=refusing("typo@people.test")) as server:
        here = Room(database, server)
        await here.register_and_send("typo@people.test")
        await here.register_and_send("right@people.test")
        assert messages(here, "right@people.test")["confirmation"] == "sent"
        assert messages(here, "right@people.test")["reminder-day"] == "pending"
        assert messages(here, "typo@people.test")["reminder-day"] == SKIPPED
        await here.close()


@in_loop
async def test_a_reload_of_the_same_row_corrects_nothing(database: Database) -> None:
    async with MailServer(refusals=refusing("typo@people.test")) as server:
        here = Room(database, server)
        await here.register_and_send("typo@people.test")
        here.ledger.sql("DELETE FROM registrants")
        await here.register_and_send("typo@people.test")
        assert messages(here, "typo@people.test")["reminder-day"] == SKIPPED
        assert len(here.attempts()) == 1
        await here.close()


@pytest.mark.engines("both")
@in_loop
async def test_whoever_says_that_it_is_right_has_it_tried_again(database: Database) -> None:
    async with MailServer(refusals=refusing("typo@people.test")) as server:
        here = Room(database, server)
        await here.register_and_send("typo@people.test")
        await here.send()
        server.refusals = {}
        with database.transaction() as conn:
            assert retry_address(conn, here.clock.now(), "Typo@People.test") == (1, 1)
            assert retry_address(conn, here.clock.now(), "nobody@people.test") == (0, 0)
        await here.send()
        assert messages(here, "typo@people.test") == {
            "confirmation": "sent", "reminder-day": "pending", "reminder-hour": "pending", "follow-up": "pending",
        }  # fmt: skip
        await here.close()


@in_loop
async def test_those_who_were_not_to_blame_get_their_next_messages_too(database: Database) -> None:
    people = strangers(MOST_GIVEN_UP + 1)
    async with MailServer(refusals=refusing(*people)) as server:
        here = Room(database, server)
        for one in people[:-1]:
            await here.register_and_send(one)
        await here.send()
        assert messages(here, people[0])["reminder-day"] == SKIPPED
        await here.register_and_send(people[-1])
        await here.send()
        assert messages(here, people[0])["reminder-day"] == "pending"
        await here.close()


@in_loop
async def test_no_notice_goes_to_an_address_that_became_unknown(database: Database) -> None:
    async with MailServer() as server:
        here = Room(database, server)
        await here.register_and_send("gone@people.test")
        server.refusals = refusing("gone@people.test")
        here.clock.move_to(REMINDER)
        await here.send()
        await here.send()
        assert messages(here, "gone@people.test")["reminder-hour"] == SKIPPED
        here.ledger.govern(webinar(join_url="https://meet.who.int/other"))
        here.ledger.plan(here.clock.now())
        assert "change" not in messages(here, "gone@people.test")
        await here.close()


# Moments


@pytest.mark.parametrize(
    ("reply", "until"),
    [
        ("450 Mail send limit exceeded, try again in 15 minutes", timedelta(minutes=15)),
        pytest.param(
            "550 Domain has exceeded the max emails per hour, retry after 1800 seconds",
            timedelta(minutes=30),
            marks=pytest.mark.full,
        ),
        ("421 4.7.0 try again after Thu, 12 Jun 2025 09:30:00 UTC", timedelta(minutes=90)),
        pytest.param(
            "421 4.7.0 try again after Fri, 12 Jun 2026 09:30:00 UTC",
            timedelta(days=1),
            marks=pytest.mark.full,
        ),
    ],
)
@in_loop
async def test_a_relay_that_names_a_moment_is_left_alone_until_then(
    database: Database, reply: str, until: timedelta
) -> None:
    async with ScriptedServer({"mail": reply}) as server:
        here = Room(database, server)
        await here.register_and_send("a@people.test", "b@people.test")
        paused: Any = here.dispatcher.paused_until
        assert isinstance(paused, datetime)
        assert timedelta(0) <= paused - ANNOUNCED - until <= timedelta(seconds=1)
        before = server.connections
        await here.go_on(until - timedelta(minutes=1))
        assert server.connections == before
        server.script.clear()
        await here.go_on(timedelta(minutes=1, seconds=1))
        assert set(here.confirmations().values()) == {"sent"}
        await here.close()


@in_loop
async def test_a_greylisted_mail_is_not_tried_before_it_can_be_taken(database: Database) -> None:
    said = "450 4.7.1 Greylisted for 299 seconds"
    async with MailServer(refusals=refusing("a@people.test", reply=said)) as server:
        here = Room(database, server)
        await here.register_and_send("a@people.test")
        at = here.delivery("a")["next_attempt_at"]
        assert timedelta(seconds=299) < at - ANNOUNCED <= timedelta(seconds=301)
        await here.close()
