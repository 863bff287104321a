"""Mails to organizers: what they say, and what becomes of those that the relay does not take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

import pytest

from scheduler import alerts
from scheduler.alerts import AlertKey
from scheduler.database.engine import Database
from scheduler.delivery import relay
from scheduler.delivery.pace import Pace
from scheduler.service.alerting import AGAIN_AFTER, Notifier
from scheduler.smtp.pool import Doubtful, Pool, Refused, RelayFailure, Unreachable
from scheduler.smtp.replies import Reply
from tests.smtp_server import in_loop
from tests.support import utc, webinar

NOW = utc("2025-06-12 08:00")
REFUSED = Refused(Reply("rcpt", 550, "5.1.1", "no such user"), "organizer@who.int")
DOWN = Unreachable(Reply("connect", 0, "", "connection refused"))


class Relay:
    """Takes mails, or fails for some recipients."""

    def __init__(self, **failures: BaseException) -> None:
        self.failures = failures
        self.tried: list[str] = []
        self.mails: list[EmailMessage] = []
        self.senders: list[str] = []
        self.contents: list[bytes] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Relay]:
        yield self

    async def send(self, sender: str, recipient: str, content: bytes) -> None:
        self.tried.append(recipient)
        if failure := self.failures.get(recipient.partition("@")[0]):
            raise failure
        self.senders.append(sender)
        self.contents.append(content)
        self.mails.append(cast(EmailMessage, message_from_bytes(content, policy=policy.default)))


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:  # that both engines keep alerts is in test_alerts
    database = Database(sqlite_url)
    yield database
    database.close()


def _note(database: Database, *wrong: AlertKey, words: str = "templates/x/fr.md, line 8: nonsense") -> None:
    with database.transaction() as conn:
        alerts.reconcile(conn, NOW, dict.fromkeys(wrong, words), "")


def _over(pool: Relay) -> relay.Relay:
    return relay.Relay("relay", cast(Pool, pool), Pace(), 1)


def _teller(database: Database, *pools: Relay, allowed: Callable[[str], bool] = lambda _: True) -> Notifier:
    return Notifier(database, [_over(pool) for pool in pools], allowed)


@in_loop
async def test_an_organizer_reads_what_is_wrong_and_later_that_it_is_right(database: Database) -> None:
    relay = Relay()
    teller = _teller(database, relay)
    _note(database, AlertKey("text x/fr", "organizer@who.int"))
    await teller.notify(NOW, [webinar()])
    await teller.notify(NOW, [webinar()])
    _note(database)
    await teller.notify(NOW, [webinar()])
    wrong, right = relay.mails
    assert wrong["Subject"] == "Action needed: text x/fr"
    assert "templates/x/fr.md, line 8: nonsense" in wrong.get_content()
    assert right["Subject"] == "Resolved: text x/fr"
    for mail in relay.mails:
        assert (mail["To"], mail["From"]) == ("organizer@who.int", "webinar@who.int")
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Date"].datetime == NOW
    assert wrong["Message-ID"] != right["Message-ID"]
    assert set(relay.senders) == {"webinar@who.int"}


@in_loop
async def test_words_of_any_script_and_length_survive(database: Database) -> None:
    words = "templates/x/ar.md, line 8: " + "م" * 2000 + "\nconfig/é.toml: “x”"
    relay = Relay()
    _note(database, AlertKey("text x/ar", "organizer@who.int"), words=words)
    await _teller(database, relay).notify(NOW, [webinar()])
    assert words in relay.mails[0].get_content().replace("\r\n", "\n")
    lines = relay.contents[0].split(b"\r\n")
    assert max(len(line) for line in lines) <= 78
    assert not any(b"\n" in line or b"\r" in line for line in lines)


@in_loop
async def test_the_name_of_a_file_cannot_break_the_header(database: Database) -> None:
    relay = Relay()
    _note(database, AlertKey("webinar file a\r\nBcc: x@example.org\n.toml", "organizer@who.int"))
    await _teller(database, relay).notify(NOW, [webinar()])
    assert relay.mails[0]["Subject"] == "Action needed: webinar file a Bcc: x@example.org .toml"
    assert relay.mails[0]["Bcc"] is None


@in_loop
async def test_an_organizer_of_no_webinar_any_more_is_written_to_from_their_own_address(
    database: Database,
) -> None:
    relay = Relay()
    _note(database, AlertKey("webinar file w.toml", "organizer@who.int"))
    await _teller(database, relay).notify(NOW, [])
    assert relay.senders == ["organizer@who.int"]


@pytest.mark.parametrize("failure", [REFUSED, DOWN])
def test_a_mail_that_the_relay_refuses_is_tried_again_after_a_while(
    database: Database, failure: RelayFailure
) -> None:
    @in_loop
    async def test() -> None:
        relay = Relay(organizer=failure)
        teller = _teller(database, relay)
        _note(database, AlertKey("text x/fr", "organizer@who.int"))
        await teller.notify(NOW, [webinar()])
        relay.failures.clear()
        await teller.notify(NOW + AGAIN_AFTER - timedelta(seconds=1), [webinar()])
        assert len(relay.tried) == 1
        await teller.notify(NOW + AGAIN_AFTER, [webinar()])
        await teller.notify(NOW + 2 * AGAIN_AFTER, [webinar()])
        assert [mail["Subject"] for mail in relay.mails] == ["Action needed: text x/fr"]

    test()


@in_loop
async def test_one_organizer_whose_address_is_refused_keeps_nothing_from_the_others(
    database: Database,
) -> None:
    relay = Relay(organizer=REFUSED)
    _note(database, *(AlertKey("text x/fr", f"{who}@who.int") for who in ("a", "organizer", "z")))
    await _teller(database, relay).notify(NOW, [webinar()])
    assert {mail["To"] for mail in relay.mails} == {"a@who.int", "z@who.int"}


@in_loop
async def test_only_those_whom_the_operator_allows_are_written_to(database: Database) -> None:
    relay = Relay()
    _note(database, AlertKey("text x/fr", "organizer@who.int"))
    await _teller(database, relay, allowed=lambda address: False).notify(NOW, [webinar()])
    assert relay.tried == []
    await _teller(database, relay).notify(NOW, [webinar()])
    assert relay.tried == ["organizer@who.int"], "it is still to be told"


@in_loop
async def test_of_two_replicas_one_notifies(database: Database) -> None:
    relay = Relay()
    _note(database, AlertKey("text x/fr", "organizer@who.int"))
    await asyncio.gather(*(_teller(database, relay).notify(NOW, [webinar()]) for _ in range(2)))
    assert len(relay.mails) == 1


@in_loop
async def test_a_mail_that_is_cut_off_by_the_end_of_the_process_is_still_to_be_told(
    database: Database,
) -> None:
    relay = Relay(organizer=asyncio.CancelledError())
    _note(database, AlertKey("text x/fr", "organizer@who.int"))
    with pytest.raises(asyncio.CancelledError):
        await _teller(database, relay).notify(NOW, [webinar()])
    relay.failures.clear()
    await _teller(database, relay).notify(NOW, [webinar()])
    assert len(relay.mails) == 1


@in_loop
async def test_where_the_first_relay_is_down_the_second_one_takes_it(database: Database) -> None:
    _note(database, AlertKey("text x/fr", "organizer@who.int"))
    first, second = Relay(organizer=DOWN), Relay()
    await _teller(database, first, second).notify(NOW, [webinar()])
    assert (len(first.mails), len(second.mails)) == (0, 1)


@in_loop
async def test_what_the_first_one_may_have_taken_is_not_given_to_the_second(database: Database) -> None:
    _note(database, AlertKey("text x/fr", "organizer@who.int"))
    first, second = Relay(organizer=Doubtful(Reply("content", 0, "", "Connection lost"))), Relay()
    await _teller(database, first, second).notify(NOW, [webinar()])
    assert second.tried == []
