"""A relay's stop ends as soon as anything proves that it takes mails, and nobody reads of it after it is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email import message_from_bytes

import pytest
from structlog.testing import capture_logs

from scheduler import alerts
from scheduler.alerts import AlertKey
from scheduler.database.engine import Database
from scheduler.delivery.pace import Pace
from scheduler.delivery.relay import FIRST_STOP_PAUSES, STOP_PAUSE, Relay, send_one
from scheduler.service.alerting import AGAIN_AFTER, RELAY, Notifier
from scheduler.smtp.pool import Pool, RelaySettings
from scheduler.smtp.replies import Reply, Verdict
from tests.delivery.test_dispatcher import ANNOUNCED, Desk
from tests.smtp.scripted import CHUNKS, ScriptedServer
from tests.smtp_server import MailServer, in_loop, pass_time
from tests.support import webinar

pytestmark = pytest.mark.engines("sqlite")

MAIL = b"Subject: x\r\n\r\nx\r\n"
ORGANIZER = "organizer@who.int"


class Watched(Desk):
    """With alerts about the relay, as the service has them."""

    def __init__(self, database: Database, server: MailServer | ScriptedServer, **more: str | int) -> None:
        settings = RelaySettings(server.host, server.port, tls="none", timeout=5, **more)  # type: ignore[arg-type]
        super().__init__(database, server, relays=[Relay("relay", Pool(settings), Pace(), 1)])
        self._database = database
        self.teller = Notifier(database, self.relays, lambda _: True, self._stands)

    def _stands(self, key: str) -> bool:
        return key != RELAY or self.dispatcher.stopped

    async def tick(self) -> None:
        await self.send()
        now = self.clock.now()
        words = {AlertKey(RELAY, ORGANIZER): self.dispatcher.trouble} if self.dispatcher.stopped else {}
        with self._database.transaction() as conn:
            alerts.reconcile(conn, now, words, RELAY)
        await self.teller.notify(now, [webinar()])
        await self.dispatcher.until_idle()

    async def send_alert_or_test(self) -> str:
        failed = await send_one(self.relays, "webinar@who.int", ORGANIZER, MAIL)
        await self.dispatcher.until_idle()
        return failed.words if failed else ""


def subjects(server: MailServer) -> list[str]:
    return [
        str(message_from_bytes(mail.content)["Subject"])
        for mail in server.mails
        if ORGANIZER in mail.recipients
    ]


@in_loop
async def test_who_could_not_sign_in_tries_again_though_no_mail_is_due(database: Database) -> None:
    """After a rotation at the relay alone: nothing here tells that it was set right, and readiness says 503."""
    async with MailServer(users={"webinar": "another"}) as server:
        here = Watched(database, server, username="webinar", password="right")
        here.register("a")
        await here.send()
        assert "535" in here.dispatcher.trouble
        here.ledger.sql("UPDATE delivery SET state = 'cancelled'")
        server.users = {"webinar": "right"}
        here.dispatcher.look_at_files()
        await here.dispatcher.until_idle()
        assert here.dispatcher.trouble, "not before its pause is over"
        here.clock.move_to(here.clock.now() + FIRST_STOP_PAUSES[0])
        here.dispatcher.look_at_files()
        await here.dispatcher.until_idle()
        assert here.dispatcher.trouble == ""
        assert server.mails == []
        await here.close()


@pytest.mark.parametrize("refusal", ["451 4.3.2 later", "550 5.7.1 Sender refused"])
@in_loop
async def test_a_second_relay_that_refused_is_asked_again_though_the_first_has_all_mails(
    database: Database, refusal: str
) -> None:
    async with MailServer() as first, ScriptedServer({"mail": [refusal]}) as second:
        here = Desk(database, first, second=second)
        here.relays[0].standing.pause(here.clock.now(), "down", Verdict.PAUSE_RELAY, "connect")
        here.register("a")
        await here.send()
        assert here.relays[1].trouble
        here.clock.move_to(here.clock.now() + STOP_PAUSE)
        await here.send()
        here.dispatcher.look_at_files()
        await here.dispatcher.until_idle()
        assert (here["a"], here.relays[1].trouble, len(second.mails)) == ("sent", "", 0)
        await here.close()


@in_loop
async def test_a_second_relay_that_put_one_mail_off_is_forgiven_in_time(database: Database) -> None:
    async with MailServer() as first, ScriptedServer({"content": ["452 4.3.1 full"] * 2}) as second:
        here = Desk(database, first, second=second)
        here.relays[0].standing.pause(here.clock.now(), "down", Verdict.PAUSE_RELAY, "connect")
        here.register("a", "b")
        await here.send()
        assert here.relays[1].trouble
        here.clock.move_to(here.clock.now() + timedelta(hours=2))
        await here.send()
        here.dispatcher.look_at_files()
        await here.dispatcher.until_idle()
        assert [relay.trouble for relay in here.relays] == ["", ""]
        await here.close()


@in_loop
async def test_a_full_day_that_is_over_is_no_trouble_though_no_mail_is_due(database: Database) -> None:
    async with MailServer() as server:
        here = Watched(database, server)
        here.relays[0].standing.rest(here.clock.now() + timedelta(hours=24), "the daily limit is reached")
        for hours, trouble in ((23, "the daily limit is reached"), (1, "")):
            here.clock.move_to(here.clock.now() + timedelta(hours=hours))
            here.dispatcher.look_at_files()
            await here.tick()
            assert here.dispatcher.trouble == trouble
        await here.close()


@in_loop
async def test_a_test_mail_that_is_taken_ends_the_stop_of_one_who_could_not_sign_in(
    database: Database,
) -> None:
    async with MailServer(users={"webinar": "right"}) as server:
        here = Watched(database, server, username="webinar", password="right")
        server.users = {"webinar": "other"}
        here.register("a")
        await here.send()
        assert (here.dispatcher.stopped, here["a"]) == (True, "pending")
        assert "535" in await here.send_alert_or_test()
        assert here.dispatcher.stopped
        server.users = {"webinar": "right"}
        assert await here.send_alert_or_test() == ""
        assert (here.dispatcher.trouble, here["a"]) == ("", "sent"), "at once, not five minutes later"
        await here.close()


@in_loop
async def test_so_it_does_where_the_sender_was_refused(database: Database) -> None:
    async with ScriptedServer({"mail": ["550 5.7.1 Sender refused"]}) as server:
        here = Watched(database, server)
        here.register("a")
        await here.send()
        assert here.dispatcher.stopped
        assert await here.send_alert_or_test() == ""
        assert here.dispatcher.trouble == ""
        await here.send()
        assert here["a"] == "sent"
        await here.close()


@in_loop
async def test_where_recipients_were_refused_a_mail_to_one_of_them_shows_whether_it_is_over(
    database: Database,
) -> None:
    denied = {f"{name}@people.test": "554 5.7.1 Relay access denied" for name in "ab"}
    async with MailServer(refusals=denied) as server:
        here = Watched(database, server)
        here.register(*"ab")
        await here.send()
        assert here.dispatcher.stopped
        here.register("d")
        assert await here.send_alert_or_test() == ""
        assert here["d"] == "sent", "it was tried at once"
        await here.close()


@in_loop
async def test_a_test_mail_does_not_end_a_day_that_is_full(database: Database) -> None:
    async with MailServer() as server:
        here = Watched(database, server)
        (relay,) = here.relays
        relay.standing.rest(ANNOUNCED + timedelta(hours=3), "the daily limit of mails is reached")
        relay.standing.try_again()
        assert here.dispatcher.paused_until == ANNOUNCED + timedelta(hours=3)
        await here.close()


# Alerts


@in_loop
async def test_nobody_reads_that_the_relay_refuses_all_mail_after_it_has_recovered(
    database: Database,
) -> None:
    async with MailServer(users={"webinar": "other"}) as server:
        here = Watched(database, server, username="webinar", password="right")
        here.register("a")
        await here.tick()
        assert here.dispatcher.stopped
        server.users = {"webinar": "right"}
        here.clock.move_to(ANNOUNCED + AGAIN_AFTER)  # when the alert is tried again, before the mails are
        await here.tick()
        assert (here.dispatcher.trouble, here["a"]) == ("", "sent")
        await here.tick()
        assert subjects(server) == []
        assert here.ledger.sql("SELECT * FROM alert") == []
        await here.close()


@in_loop
async def test_while_it_refuses_everybody_it_is_not_asked_more_than_once_a_minute(database: Database) -> None:
    async with ScriptedServer({"auth": "535 5.7.8 no"}) as server:
        here = Watched(database, server, username="webinar", password="right")
        here.register("a")
        for _ in range(5):
            await here.tick()
        assert server.connections == 2, "the mail's, and the alert's"
        await here.close()


@in_loop
async def test_a_relay_that_refuses_registrants_mails_alone_is_read_about_once(database: Database) -> None:
    denied = {f"{name}@people.test": "554 5.7.1 Relay access denied" for name in "ab"}
    async with MailServer(refusals=denied) as server:
        here = Watched(database, server)
        here.register(*"ab")
        for second in range(8):
            here.clock.move_to(ANNOUNCED + timedelta(seconds=second))
            await here.tick()
        assert subjects(server) == ["Action needed: relay"]
        assert here.dispatcher.stopped
        server.refusals = {}
        here.clock.move_to(ANNOUNCED + STOP_PAUSE + timedelta(minutes=1))
        await here.tick()
        await here.tick()
        assert subjects(server) == ["Action needed: relay", "Resolved: relay"]
        await here.close()


@in_loop
async def test_no_name_that_a_relay_repeats_is_logged_or_shown(database: Database) -> None:
    denied = {f"{name}@people.test": "554 5.7.1 Relay access denied: to Maya Shrestha" for name in "ab"}
    async with MailServer(refusals=denied) as server:
        here = Watched(database, server)
        for one in denied:
            here.ledger.register(one, name="Maya Shrestha")
        here.ledger.plan(here.clock.now())
        with capture_logs() as logs:
            await here.send()
        assert "Relay access denied: to <name>" in here.dispatcher.trouble
        assert "Shrestha" not in str(logs)
        await here.close()


# Limits


@in_loop
async def test_alerts_and_test_mails_count_toward_the_limit_of_a_day(database: Database) -> None:
    async with MailServer() as server:
        here = Watched(database, server)
        (relay,) = here.relays
        relay.pace = Pace(per_day=2, database=database, account="relay")
        assert await here.send_alert_or_test() == ""
        assert await here.send_alert_or_test() == ""
        assert await here.send_alert_or_test() == "the daily limit of mails is reached"
        here.register("a")
        await here.send()
        assert (here["a"], len(server.mails)) == ("pending", 2)
        assert here.dispatcher.trouble == "the daily limit of mails is reached"
        await here.close()


@in_loop
async def test_an_alert_takes_one_turn_among_the_mails(database: Database) -> None:
    async with MailServer() as server:
        here = Watched(database, server)
        (relay,) = here.relays
        relay.pool = Pool(RelaySettings(server.host, server.port, tls="none", timeout=5, connections=2))
        relay.pace = Pace(per_minute=600)
        here.crowd(6)
        here.dispatcher.wake()
        alert = asyncio.create_task(here.send_alert_or_test())
        await here.send()
        await alert
        at = [ORGANIZER in mail.recipients for mail in server.mails].index(True)
        assert len(server.mails) == 7
        assert at < 6, "it did not wait for all of them, nor they for more than one turn"
        await here.close()


@in_loop
async def test_a_relay_that_complains_of_an_alert_is_given_fewer_mails() -> None:
    async with ScriptedServer({"mail": ["454 Throttling failure: Maximum sending rate exceeded."]}) as server:
        settings = RelaySettings(server.host, server.port, tls="none", timeout=5)
        relay = Relay("relay", Pool(settings), Pace(), 1)
        failed = await send_one([relay], "webinar@who.int", ORGANIZER, MAIL)
        assert failed
        assert "Throttling" in failed.words
        assert relay.pace.limited
        await relay.pool.close()


# A hang-up that named a number of mails.


@in_loop
async def test_fewer_mails_on_a_connection_for_an_hour_and_then_as_many_as_ever() -> None:
    async with ScriptedServer(extensions=CHUNKS, most_mails=3) as server:
        pool = Pool(RelaySettings(server.host, server.port, tls="none", timeout=5, pipelining=False))

        async def send(number: int) -> None:
            for _ in range(number):
                async with pool.connection() as connection:
                    await connection.send("webinar@who.int", "a@people.test", MAIL)

        await send(5)
        assert pool.mails_per_connection == 3
        server.most_mails = 0
        before = server.connections
        await send(6)
        assert server.connections > before
        pass_time(3601)
        assert pool.mails_per_connection == 0
        before = server.connections
        await send(6)
        assert server.connections == before
        await pool.close()


def test_what_a_stop_is_about() -> None:
    relay = Relay("relay", Pool(RelaySettings("relay.test", 25, tls="none")), Pace(), 1)
    for stage, all_of_them in (("auth", True), ("mail", True), ("rcpt", False), ("content", False)):
        reply = Reply(stage, 550, "", "no")  # type: ignore[arg-type]
        relay.standing.pause(ANNOUNCED, str(reply), Verdict.STOP, reply.stage)
        assert relay.standing.refuses_everybody is all_of_them
        relay.standing.proven()
        assert relay.standing.stopped is not all_of_them
        assert not relay.standing.is_paused(ANNOUNCED)
        relay.standing.clear()
