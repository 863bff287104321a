"""What must hold with every mail server of other people: the tests of `test_postfix` and `test_exim`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from scheduler.smtp.envelope import Mail
from scheduler.smtp.pool import Pool, Refused, RelayFailure, RelaySettings
from scheduler.smtp.replies import Reply
from tests.delivery.rolling import send_over
from tests.smtp.mail_servers import HOST, LARGEST, PASSWORD, REFUSED, USER, Relay
from tests.smtp_server import ca_file, in_loop

WAYS = ["plain", "groups", "chunks"]


def settings_for(relay: Relay, way: str, **changes: Any) -> RelaySettings:
    values: dict[str, Any] = {"username": USER, "password": PASSWORD, "client_name": "client.test"}
    values |= {"pipelining": way != "plain", "chunking": way == "chunks", "ca_file": ca_file()}
    return RelaySettings(host=HOST, port=relay.port, **(values | changes))


def a_mail(marker: str, recipient: str = "ana@example.com", size: int = 0) -> Mail:
    """8-bit, with dots at the beginnings of lines and one alone."""
    head = f"From: <webinar@example.org>\r\nTo: <{recipient}>\r\nSubject: ({marker})\r\n"
    head += f"Date: Thu, 3 Jul 2025 11:00:00 +0000\r\nMessage-ID: <{marker}@example.org>\r\n"
    head += "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    lines = ["À jeudi.", "..two", ".", ".one", *["x" * 70] * (size // 72), "The end."]
    return Mail.checked("webinar@example.org", recipient, (head + "\r\n".join(lines)).encode())


async def send(pool: Pool, mails: Sequence[Mail]) -> tuple[list[Reply | RelayFailure], int]:
    """All over one connection: the results, and the most mails that were in flight at once."""
    async with pool.connection() as connection:
        results, in_flight = await send_over(connection, mails)
        assert connection.usable
        assert connection.session.mails == len(mails)
    await pool.close()
    return results, max(in_flight)


class AnyServer:
    """Subclasses give the fixture `relay`."""

    @pytest.mark.parametrize("way", WAYS)
    def test_three_hundred_mails_over_one_connection_come_in_as_they_went_out(
        self, relay: Relay, way: str
    ) -> None:
        mails = [a_mail(f"{way}-{n}-of-300", size=12_000) for n in range(300)]

        @in_loop
        async def go() -> None:
            results, most = await send(Pool(settings_for(relay, way)), mails)
            assert [result for result in results if not isinstance(result, Reply)] == []
            assert most == (1 if way == "plain" else 8)

        go()
        taken = relay.taken(f"({way}-".encode(), 300)
        assert len(taken) == 300
        assert all(any(mail.endswith(sent.content) for mail in taken) for sent in mails)

    @pytest.mark.parametrize("way", WAYS)
    def test_a_refused_recipient_does_not_touch_its_neighbours(self, relay: Relay, way: str) -> None:
        refused = (3, 4, 7)
        mails = [
            a_mail(f"neighbour-{way}-{n}", REFUSED if n in refused else "ana@example.com") for n in range(10)
        ]

        @in_loop
        async def go() -> None:
            results, _ = await send(Pool(settings_for(relay, way)), mails)
            no = [n for n, result in enumerate(results) if isinstance(result, Refused)]
            assert tuple(no) == refused
            assert {results[n].reply.stage for n in no} == {"rcpt"}  # type: ignore[union-attr]
            assert sum(isinstance(result, Reply) for result in results) == 7

        go()
        taken = relay.taken(f"(neighbour-{way}-".encode(), 7)
        assert sorted(n for n in range(10) for mail in taken if f"{way}-{n})".encode() in mail) == [
            0,
            1,
            2,
            5,
            6,
            8,
            9,
        ]

    @pytest.mark.parametrize("way", WAYS)
    def test_an_address_that_is_not_ascii_gets_its_mail(self, relay: Relay, way: str) -> None:
        mails = [
            a_mail(f"utf8-{way}-{n}", who)
            for n, who in enumerate(["josé@example.com", "ana@example.com"] * 2)
        ]

        @in_loop
        async def go() -> None:
            results, _ = await send(Pool(settings_for(relay, way)), mails)
            assert all(isinstance(result, Reply) for result in results)

        go()
        assert len(relay.taken(f"(utf8-{way}-".encode(), 4)) == 4

    @pytest.mark.parametrize("way", WAYS)
    def test_a_mail_that_is_too_large_is_refused_by_its_size_and_the_next_is_not(
        self, relay: Relay, way: str
    ) -> None:
        mails = [a_mail(f"size-{way}-{n}", size=LARGEST + 1000 if n == 2 else 0) for n in range(4)]

        @in_loop
        async def go() -> None:
            results, _ = await send(Pool(settings_for(relay, way)), mails)
            assert [type(result) for result in results] == [Reply, Reply, Refused, Reply]
            large = results[2]
            assert isinstance(large, Refused)
            assert (large.reply.stage, large.reply.code) == ("mail", 552)

        go()
        assert len(relay.taken(f"(size-{way}-".encode(), 3)) == 3

    def test_what_it_offers(self, relay: Relay) -> None:
        @in_loop
        async def go() -> None:
            pool = Pool(settings_for(relay, "chunks"))
            async with pool.connection() as connection:
                for extension in ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "SIZE"):
                    assert connection.offers(extension)
                assert connection.session.size_limit == LARGEST
            await pool.close()

        go()

    def test_a_wrong_password_is_refused(self, relay: Relay) -> None:
        @in_loop
        async def go() -> None:
            pool = Pool(settings_for(relay, "chunks", password="another"))
            with pytest.raises(Refused) as refusal:
                await pool.open_session()
            assert (refusal.value.reply.stage, refusal.value.reply.code) == ("auth", 535)

        go()
