"""From due to outcome, over real SMTP to a relay that behaves or not, on both engines and a virtual clock."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from email import message_from_bytes
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.delivery import dispatcher
from scheduler.delivery.dispatcher import Dispatcher
from scheduler.delivery.pace import Pace
from scheduler.delivery.relay import Relay
from scheduler.delivery.sender import FRESH, Job
from scheduler.ledger import settling
from scheduler.ledger.entries import Claimed
from scheduler.mail.text.layout import read_layout
from scheduler.mail.text.templates import parse_text
from scheduler.mail.texts import CurrentText, Texts
from scheduler.mail.writing.rendering import render
from scheduler.mail.writing.stencil import Stencils
from scheduler.smtp.pool import Connection, Pool, RelaySettings
from scheduler.webinar.model import Webinar
from tests.mail.samples import TEMPLATES
from tests.smtp.scripted import CHUNKS, GROUPS, Deed, Fault, ScriptedServer
from tests.smtp_server import MailServer, in_loop
from tests.support import Ledger, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

ANNOUNCED = utc("2025-06-12 08:00")
MESSAGES = ("confirmation", "reminder-day", "reminder-hour", "follow-up")
BUSY = "421 4.3.2 Too busy"
SPAM = "554 5.7.1 Message rejected as spam"


@functools.cache
def texts(*messages: str) -> Texts:
    """The shipped English texts of these messages."""
    layout = read_layout(TEMPLATES)
    sources = {message: (TEMPLATES / message / "en.md").read_text(encoding="utf-8") for message in messages}
    return Texts(
        {
            (message, "en"): CurrentText(parse_text(source, f"{message}/en.md", layout), "en", number)
            for number, (message, source) in enumerate(sources.items(), start=1)
        }
    )


class Desk:
    """A ledger with a dispatcher at a server, at the moment of the announcement."""

    def __init__(
        self,
        database: Database,
        server: MailServer | ScriptedServer,
        connections: int = 1,
        second: MailServer | ScriptedServer | None = None,
        relays: list[Relay] | None = None,
        **more: Any,
    ) -> None:
        self.ledger, self.server, self.clock = Ledger(database), server, VirtualClock(ANNOUNCED)
        self.relays = relays or [
            Relay(
                name,
                Pool(RelaySettings(one.host, one.port, tls="none", connections=connections, timeout=5)),
                Pace(None),
                connections,
            )
            for name, one in (("relay", server), ("second", second))
            if one
        ]
        self.dispatcher = Dispatcher(database, self.clock, self.relays, **more)
        self.govern(webinar(), *MESSAGES)

    def govern(self, one: Webinar, *messages: str) -> None:
        """Let this webinar govern, with the texts of these messages."""
        self.ledger.govern(one)
        revisions = {"w": self.ledger.governing["w"].revision_id}
        self.dispatcher.job = Job({"w": one}, ["w"], texts(*messages), revisions)

    def register(self, *names: str) -> None:
        for name in names:
            self.ledger.register(f"{name}@people.test")
            self.ledger.plan(self.clock.now())

    def crowd(self, number: int) -> list[str]:
        """So many people register together."""
        names = [f"p{one}" for one in range(number)]
        for name in names:
            self.ledger.register(f"{name}@people.test")
        self.ledger.plan(self.clock.now())
        return names

    async def send(self) -> None:
        """Send what is due now, as a tick does: what came back from a relay is planned first."""
        self.ledger.plan(self.clock.now())
        self.dispatcher.wake()
        await self.dispatcher.until_idle()

    async def close(self) -> None:
        await self.dispatcher.drain(0)
        for relay in self.relays:
            await relay.pool.close()

    def __getitem__(self, name: str) -> str:
        """The state of somebody's confirmation."""
        return self.ledger.states(f"{name}@people.test")["confirmation"]

    def delivery(self, name: str) -> Any:
        rows = self.ledger.deliveries(f"{name}@people.test")
        return next(row for row in rows if row["message"] == "confirmation")

    def attempts(self) -> list[tuple[Any, ...]]:
        rows = self.ledger.sql(
            "SELECT outcome, stage, code, enhanced, text_revision FROM attempt ORDER BY id"
        )
        return [tuple(row) for row in rows]


Over = Callable[..., Desk]


@pytest.fixture
def desk(database: Database) -> Over:
    return lambda server, **more: Desk(database, server, **more)


@pytest.mark.engines("both")
@in_loop
async def test_what_is_due_goes_out_once_and_is_on_record(desk: Over) -> None:
    async with MailServer() as server:
        here = desk(server, connections=4)
        here.register("a", "b", "c")
        await here.send()
        await here.send()
        await here.close()
        assert sorted(mail.recipients[0][0] for mail in server.mails) == ["a", "b", "c"]
        assert {mail.sender for mail in server.mails} == {"webinar@who.int"}
        assert {here[name] for name in "abc"} == {"sent"}
        assert here.attempts() == [("sent", "content", 250, "2.0.0", 1)] * 3


@in_loop
async def test_who_registers_now_does_not_wait_behind_the_reminders_of_all_the_others(desk: Over) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register(*"abcdefgh")
        await here.send()
        here.clock.move_to(utc("2025-07-02 07:00") + timedelta(seconds=1))
        here.register("new")
        del server.mails[:]
        await here.send()
        await here.close()
        recipients = [mail.recipients[0] for mail in server.mails]
        assert len(recipients) == 9
        assert recipients[0] == "new@people.test"


@in_loop
async def test_the_log_names_what_the_relay_calls_a_mail_that_it_took(desk: Over) -> None:
    said: list[Any] = [
        "250 2.0.0 Ok: queued as 4cZQ1w2Xy3z",
        "250 2.0.0 queued as a@people.test \u202e\x1b[31m",
    ]
    async with ScriptedServer({"content": said}) as server:
        here = desk(server)
        with capture_logs() as logs:
            here.register("a", "b")
            await here.send()
            await here.close()
        sent = [one for one in logs if one["event"] == "sent"]
        ids = {here.delivery(name)["id"]: name for name in "ab"}
        named = {
            ids[number]: name
            for one in sent
            for number, name in zip(one["deliveries"], one["queue_ids"], strict=True)
        }
        assert sorted(named.values()) == [
            "",
            "4cZQ1w2Xy3z",
        ]  # of two that are due together either may be first
        assert "people.test" not in str(logs)


# Refusals


@in_loop
async def test_an_address_that_is_refused_fails_alone(desk: Over) -> None:
    async with MailServer(refusals={"b@people.test": "550 5.1.1 No such user"}) as server:
        here = desk(server)
        here.register("a", "b", "c")
        await here.send()
        await here.close()
        assert [here[name] for name in "abc"] == ["sent", "failed: refused: 550 5.1.1", "sent"]
        assert here.dispatcher.trouble == ""


@in_loop
async def test_a_mail_that_is_put_off_is_tried_again_later_alone(desk: Over) -> None:
    async with MailServer(refusals={"b@people.test": "452 4.2.2 Mailbox full"}) as server:
        here = desk(server)
        here.register("a", "b", "c")
        await here.send()
        assert [here[name] for name in "abc"] == ["sent", "pending", "sent"]
        put_off = here.delivery("b")
        wait = put_off["next_attempt_at"] - ANNOUNCED
        assert timedelta(seconds=48) <= wait <= timedelta(seconds=72)
        assert put_off["attempts"] == 1
        server.refusals = {}
        await here.send()
        assert here["b"] == "pending"
        here.clock.move_to(put_off["next_attempt_at"])
        await here.send()
        await here.close()
        assert here["b"] == "sent"


# A relay in trouble


@in_loop
async def test_a_relay_in_trouble_is_left_alone_for_a_while_then_tried_by_one_mail(desk: Over) -> None:
    async with ScriptedServer({"banner": BUSY}) as server:
        here = desk(server, connections=2)
        here.register(*"abcde")
        await here.send()
        assert here.dispatcher.trouble == "connect: 421 4.3.2 Too busy"
        paused_until = here.dispatcher.paused_until
        assert paused_until
        assert timedelta(seconds=4.8) <= paused_until - ANNOUNCED <= timedelta(seconds=7.2)
        before = server.connections
        await here.send()
        assert server.connections == before, "nobody knocks during a pause"
        here.clock.move_to(paused_until)
        await here.send()
        assert server.connections == before + 1
        again = here.dispatcher.paused_until
        assert again
        assert again - paused_until > timedelta(seconds=9), "the second pause is longer"
        server.script.clear()
        here.clock.move_to(again)
        await here.send()
        await here.close()
        assert {here[name] for name in "abcde"} == {"sent"}
        assert (here.dispatcher.trouble, here.dispatcher.paused_until) == ("", None)
        assert {here.delivery(name)["attempts"] for name in "abcde"} == {1}, "trouble cost no mail a try"


@in_loop
async def test_a_refused_password_stops_all_at_once_and_a_new_process_need_not_wait(desk: Over) -> None:
    async with ScriptedServer({"mail": "530 5.7.0 Authentication required"}) as server:
        here = desk(server)
        here.register("a", "b")
        await here.send()
        assert here.dispatcher.stopped
        assert here.dispatcher.paused_until == ANNOUNCED + timedelta(minutes=5)
        assert [here[name] for name in "ab"] == ["pending", "pending"]
        assert sum(line.startswith("MAIL") for line in server.commands) == 1
        await here.close()
    async with ScriptedServer({"banner": "554 5.7.1 No service for you"}) as server:
        here = desk(server)
        here.clock.move_to(ANNOUNCED + timedelta(minutes=10))
        await here.send()
        await here.close()
        assert here.dispatcher.stopped
    async with MailServer() as server:
        here = desk(server)
        here.clock.move_to(ANNOUNCED + timedelta(minutes=10))
        await here.send()
        await here.close()
        assert [here[name] for name in "ab"] == ["sent", "sent"]


@in_loop
async def test_a_mail_that_a_filter_refuses_does_not_stop_the_others(desk: Over) -> None:
    async with ScriptedServer({"content": [SPAM]}) as server:
        here = desk(server)
        here.register("a", "b", "c")
        await here.send()
        await here.close()
        assert sorted(here[name] for name in "abc") == ["pending", "sent", "sent"]
        assert not here.dispatcher.stopped
        assert ("deferred", "content", 554, "5.7.1", 1) in here.attempts()


@in_loop
async def test_when_a_second_mail_meets_the_same_filter_all_stops(desk: Over) -> None:
    async with ScriptedServer({"content": SPAM}) as server:
        here = desk(server)
        here.register("a", "b", "c")
        await here.send()
        await here.close()
        assert here.dispatcher.stopped
        assert here.dispatcher.trouble == "content: 554 5.7.1 Message rejected as spam"
        assert sum(line.startswith("DATA") for line in server.commands) == 2
        assert sorted(here.delivery(name)["attempts"] for name in "abc") == [0, 0, 1]
        assert [here[name] for name in "abc"] == ["pending"] * 3


# Two relays


@in_loop
async def test_a_second_relay_takes_over_and_gives_back(desk: Over) -> None:
    async with ScriptedServer({"banner": BUSY}) as first, MailServer() as second:
        here = desk(first, second=second)
        here.register("a", "b")
        await here.send()
        assert [here[name] for name in "ab"] == ["sent", "sent"]
        assert len(second.mails) == 2
        assert here.dispatcher.trouble == "", "somebody takes mail"
        first.script.clear()
        here.clock.move_to(ANNOUNCED + timedelta(minutes=5))
        here.register("c")
        await here.send()
        here.register("d")
        await here.send()
        await here.close()
        assert [here[name] for name in "cd"] == ["sent", "sent"]
        assert sum(line.startswith("DATA") for line in first.commands) == 2
        assert len(second.mails) == 2, "the first one is preferred as soon as it is back"


@in_loop
async def test_when_both_are_in_trouble_it_is_said_and_the_first_that_is_back_gets_all(desk: Over) -> None:
    async with ScriptedServer({"banner": BUSY}) as first, ScriptedServer({"banner": BUSY}) as second:
        here = desk(first, second=second)
        here.register("a", "b")
        await here.send()
        assert here.dispatcher.trouble == "connect: 421 4.3.2 Too busy"
        assert [here[name] for name in "ab"] == ["pending", "pending"]
        second.script.clear()
        here.clock.move_to(ANNOUNCED + timedelta(minutes=5))
        await here.send()
        await here.close()
        assert [here[name] for name in "ab"] == ["sent", "sent"]
        assert here.dispatcher.trouble == ""
        assert {here.delivery(name)["attempts"] for name in "ab"} <= {0, 1}


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")])
@in_loop
async def test_when_the_day_is_full_the_others_wait_and_none_is_left_between(
    desk: Over, extensions: tuple[str, ...]
) -> None:
    async with ScriptedServer(extensions=extensions) as server:
        here = desk(server)
        here.relays[0].pace = Pace(None, per_day=3)
        here.register(*"abcde")
        await here.send()
        assert sorted(here[name] for name in "abcde") == ["pending"] * 2 + ["sent"] * 3
        assert here.dispatcher.trouble == "the daily limit of mails is reached"
        await here.close()
    assert len(server.mails) == 3


@in_loop
async def test_a_relay_that_bears_fewer_connections_than_we_may_open_gets_its_mails_over_those(
    desk: Over,
) -> None:
    """Exchange Online takes three at a time, and says 432 or 421 to the fourth."""

    class TakesThree(ScriptedServer):
        here = refused = 0

        async def _converse(self, talk: Any) -> None:
            if self.here == 3:
                self.refused += 1
                await self._say(talk, "421 4.7.0 Too many concurrent SMTP connections")
                return
            self.here += 1
            try:
                await super()._converse(talk)
            finally:
                self.here -= 1

    async with TakesThree(extensions=CHUNKS) as server:
        here = desk(server, connections=8)
        names = here.crowd(60)
        await here.send()
        await here.close()
        assert {here[name] for name in names} == {"sent"}
        assert here.dispatcher.trouble == ""
        assert {here.delivery(name)["attempts"] for name in names} == {1}
    assert len(server.mails) == 60
    assert 1 <= server.refused < 20
    assert here.relays[0].allowed == 3


# Doubt


@pytest.mark.engines("both")
@pytest.mark.parametrize(("policy", "mails"), [("resend", 2), ("hold", 1)])
@in_loop
async def test_a_mail_whose_answer_was_lost(desk: Over, policy: str, mails: int) -> None:
    """It may have been accepted. Sent again, it is the same mail: Message-ID and invitation do not change."""
    async with ScriptedServer({"content": [Deed.CLOSE]}) as server:
        here = desk(server)
        here.register("a")
        await here.send()
        assert here["a"] == "in_doubt: the relay's answer was lost"
        stored = here.ledger.sql("SELECT message_id FROM delivery WHERE message_id <> ''")
        with here.ledger.database.transaction() as conn:
            settling.resolve_doubts(conn, ANNOUNCED, {"w": webinar(on_doubt=policy)})
        here.clock.move_to(here.delivery("a")["next_attempt_at"])
        await here.send()
        await here.close()
        assert len(server.mails) == mails
        assert here["a"] == ("sent" if policy == "resend" else "held: doubt")
        if policy == "resend":
            message_ids = [message_from_bytes(mail.content)["Message-ID"] for mail in server.mails]
            assert message_ids == [stored[0][0]] * 2
            assert here.ledger.sql("SELECT count(*) FROM invitation")[0][0] == 1


@in_loop
async def test_a_fault_of_ours_during_sending_leaves_nothing_sending(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*given: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(dispatcher, "RETRY_SECONDS", 0.01)
    async with ScriptedServer(extensions=CHUNKS) as server:
        here = desk(server)
        here.register("a", "b")
        with monkeypatch.context() as broken:
            broken.setattr(Connection, "send_all", fails)
            await here.send()
        assert {here[name] for name in "ab"} == {"in_doubt: sending failed"}
        with here.ledger.database.transaction() as conn:
            settling.resolve_doubts(conn, ANNOUNCED, {"w": webinar()})
        here.clock.move_to(ANNOUNCED + timedelta(minutes=2))
        await here.send()
        await here.close()
        assert {here[name] for name in "ab"} == {"sent"}


# What must not go out


@in_loop
async def test_without_a_text_a_delivery_is_held_and_the_others_go(desk: Over) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register("a")
        here.govern(webinar(), "reminder-day")
        await here.send()
        assert (here["a"], server.mails) == ("held: template", [])
        here.govern(webinar(), "confirmation")
        with here.ledger.database.transaction() as conn:
            settling.release_held(conn, ANNOUNCED, ["w"], ["confirmation"])
        await here.send()
        await here.close()
        assert here["a"] == "sent"


@in_loop
async def test_a_mail_that_cannot_be_rendered_is_held_alone(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rendered(stencils: Stencils, claimed: Claimed, *more: Any, **options: Any) -> Any:
        return 1 / 0 if claimed.address.startswith("b") else render(claimed, *more)

    monkeypatch.setattr(Stencils, "render", rendered)
    async with MailServer() as server:
        here = desk(server)
        here.register("a", "b", "c")
        await here.send()
        await here.close()
        assert [here[name] for name in "abc"] == ["sent", "held: data", "sent"]


@in_loop
async def test_nobody_is_written_to_whom_the_settings_leave_out(desk: Over) -> None:
    async with MailServer() as server:
        here = desk(server, may_write_to=lambda address: address.startswith("a"))
        here.register("a", "b")
        await here.send()
        await here.close()
        assert [here[name] for name in "ab"] == ["sent", "held: config"]
        assert [mail.recipients[0] for mail in server.mails] == ["a@people.test"]


@in_loop
async def test_what_is_no_longer_useful_is_not_sent_however_late_it_was_noticed(desk: Over) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register("a")
        here.clock.move_to(utc("2025-07-03 13:00"))
        await here.send()
        await here.close()
        assert server.mails == []


@pytest.mark.engines("both")
@in_loop
async def test_what_was_planned_again_while_it_was_rendered_is_not_sent(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedServer() as server:
        here = desk(server)
        here.register("a")

        def meanwhile(stencils: Stencils, *given: Any, **options: Any) -> Any:
            if not here.ledger.sql("SELECT 1 FROM registrants WHERE name = 'Anna'"):
                here.ledger.sql("UPDATE registrants SET name = 'Anna', timezone = 'Asia/Tokyo'")
                here.ledger.plan(ANNOUNCED)
            return render(*given)

        monkeypatch.setattr(Stencils, "render", meanwhile)
        await here.send()
        await here.send()
        await here.close()
        assert here["a"] == "sent"
        assert len(server.mails) == 1
        assert b"Dear Anna" in server.mails[0].content


@in_loop
async def test_an_end_in_the_middle_of_a_claim_leaves_no_lease_behind(
    desk: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as server:
        here = desk(server)
        here.register("a", "b", "c")
        claiming, go_on, claim = asyncio.Event(), threading.Event(), dispatcher._claim
        loop = asyncio.get_running_loop()

        def slowly(*given: Any) -> Any:
            loop.call_soon_threadsafe(claiming.set)
            go_on.wait(10)
            return claim(*given)

        monkeypatch.setattr(dispatcher, "_claim", slowly)
        here.dispatcher.wake()
        await claiming.wait()
        loop.call_later(0.05, go_on.set)
        await here.close()
        with suppress(asyncio.CancelledError):
            await here.dispatcher.until_idle()
        assert server.mails == []
        leased = here.ledger.sql("SELECT count(*) FROM delivery WHERE lease_token IS NOT NULL")
        assert leased[0][0] == 0, "another replica would wait for two minutes"


# What may be in doubt


@pytest.mark.parametrize(("on_doubt", "most"), [("resend", 8), ("hold", 1)])
@pytest.mark.parametrize("extensions", [GROUPS, CHUNKS], ids=["DATA", "BDAT"])
@in_loop
async def test_no_more_are_begun_at_a_time_than_the_readme_promises(
    desk: Over, extensions: tuple[str, ...], on_doubt: str, most: int
) -> None:
    """Eight a connection, over DATA and BDAT, and the window rolls; one that is held when in doubt goes alone. So many
    are in doubt after a kill."""
    begun: list[int] = []

    class Looks(ScriptedServer):
        async def _midway(self, talk: Any) -> bool:
            (count,) = here.ledger.sql("SELECT count(*) FROM delivery WHERE state = 'sending'")[0]
            begun.append(count)
            return await super()._midway(talk)

    async with Looks(extensions=extensions) as server:
        here = desk(server)
        governing = webinar(on_doubt=on_doubt)
        here.govern(governing, *MESSAGES)
        names = here.crowd(40)
        await here.send()
        await here.close()
        assert {here[name] for name in names} == {"sent"}
    assert len(server.mails) == 40
    assert server.connections == 1
    assert max(begun) == most


class Interrupts(ScriptedServer):
    """Does something while it takes the first mail."""

    def __init__(self) -> None:
        super().__init__(extensions=GROUPS)
        self.meanwhile: Callable[[], None] = lambda: None

    async def _midway(self, talk: Any) -> bool:
        if not self.mails:
            self.meanwhile()
        return await super()._midway(talk)


def states(here: Desk, names: list[str]) -> Counter[str]:
    return Counter(here[name] for name in names)


@pytest.mark.engines("both")
@in_loop
async def test_of_a_window_over_data_that_breaks_one_mail_is_in_doubt_and_the_others_are_free(
    desk: Over,
) -> None:
    async with ScriptedServer(Fault("content", Deed.CLOSE), extensions=GROUPS) as server:
        here = desk(server)
        names = here.crowd(8)
        await here.send()
        assert states(here, names) == {"in_doubt: the relay's answer was lost": 1, "pending": 7}
        assert here.ledger.sql("SELECT outcome, count(*) FROM attempt GROUP BY outcome ORDER BY 1") == [
            ("in_doubt", 1),
            ("not_sent", 7),
        ]
        await here.send()
        await here.close()
        assert states(here, names) == {"in_doubt: the relay's answer was lost": 1, "sent": 7}
        assert len(set(server.mails)) == len(server.mails) == 8


@in_loop
async def test_what_waits_in_a_window_until_its_use_is_over_is_not_sent(desk: Over) -> None:
    async with Interrupts() as server:
        here = desk(server)
        names = here.crowd(8)
        server.meanwhile = lambda: here.clock.move_to(utc("2025-07-03 13:00"))
        await here.send()
        await here.close()
        # The envelope of the second was on its way.
        assert states(here, names) == {"sent": 2, "pending": 6}
        assert len(server.mails) == 2


@in_loop
async def test_what_waits_long_in_a_window_is_begun_again(desk: Over) -> None:
    """It is then asked again whether it may go, and the window becomes smaller."""
    async with Interrupts() as server:
        here = desk(server)
        names = here.crowd(8)
        server.meanwhile = lambda: here.clock.move_to(ANNOUNCED + 2 * FRESH)
        await here.send()
        assert states(here, names) == {"sent": 2, "pending": 6}
        assert here.relays[0].pool.modes.window == 4
        assert here.ledger.sql("SELECT DISTINCT attempts FROM delivery WHERE state = 'pending'") == [(0,)]
        server.meanwhile = lambda: None
        await here.send()
        await here.close()
        assert states(here, names) == {"sent": 8}
        assert len(server.mails) == 8


@in_loop
async def test_what_waits_in_a_window_goes_out_by_what_governs_then(desk: Over) -> None:
    async with Interrupts() as server:
        here = desk(server)
        names = here.crowd(8)
        server.meanwhile = lambda: here.govern(webinar(title="Another title"), *MESSAGES)
        await here.send()
        assert states(here, names) == {"sent": 2, "pending": 6}
        await here.send()
        await here.close()
        assert states(here, names) == {"sent": 8}
        assert [b"Another title" in mail.content for mail in server.mails] == [False] * 2 + [True] * 6


@in_loop
async def test_a_stop_sends_nothing_more_of_a_window(desk: Over) -> None:
    stopping: list[asyncio.Task[Any]] = []
    async with Interrupts() as server:
        here = desk(server)
        names = here.crowd(20)
        server.meanwhile = lambda: stopping.append(asyncio.create_task(here.dispatcher.drain(5)))
        await here.send()
        assert await stopping[0] == []
        await here.close()
        assert states(here, names) == {"sent": 1, "pending": 19}
        assert len(server.mails) == 1
        leased = here.ledger.sql("SELECT count(*) FROM delivery WHERE lease_token IS NOT NULL")
        assert leased == [(0,)]
