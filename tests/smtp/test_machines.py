"""One name of a relay may stand for several machines, which offer different things."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.delivery.pace import Pace
from scheduler.delivery.relay import Relay
from scheduler.smtp.failures import Refused
from scheduler.smtp.pool import Pool, RelaySettings
from scheduler.smtp.replies import Verdict, classify
from tests.delivery.test_dispatcher import Desk
from tests.smtp.scripted import Deed, ScriptedServer
from tests.smtp_server import in_loop

pytestmark = pytest.mark.engines("sqlite")


def offers(*extensions: str) -> str:
    return "".join(f"250-{one}\r\n" for one in ("relay.test", *extensions[:-1])) + f"250 {extensions[-1]}"


def desk_over(database: Database, server: ScriptedServer, **more: Any) -> Desk:
    settings = RelaySettings(
        server.host, server.port, tls="none", timeout=5, client_name="client.test", **more
    )
    return Desk(database, server, relays=[Relay("relay", Pool(settings), Pace(), 1)])


@pytest.mark.parametrize("pipelining", [False, True])
@in_loop
async def test_a_mail_in_8_bits_is_rendered_again_for_a_machine_that_takes_none(
    pipelining: bool, database: Database
) -> None:
    modern, old = offers("PIPELINING", "8BITMIME", "SIZE"), offers("PIPELINING", "SIZE")
    script: dict[str, Any] = {"ehlo": [modern, old], "mail": ["", "", Deed.RESET]}
    async with ScriptedServer(script) as server:
        here = desk_over(database, server, pipelining=pipelining)
        for one in "abcd":
            here.ledger.register(f"{one}@people.test", name="Zoë Müller")
        await here.send()
        await here.close()
        assert [here[one] for one in "abcd"] == ["sent"] * 4
        assert here.dispatcher.trouble == ""
        assert server.connections == 2
        assert [mail.content.isascii() for mail in server.mails] == [False, False, True, True]
        commands = [line for line in server.commands if line.startswith("MAIL")]
        assert ["BODY=8BITMIME" in line for line in commands] == [True, True, True, False, False]
        assert {attempt[0] for attempt in here.attempts()} == {"sent"}


@in_loop
async def test_an_address_that_another_machine_would_take_is_tried_again_and_does_not_fail() -> None:
    script: dict[str, Any] = {"ehlo": [offers("SMTPUTF8", "8BITMIME"), offers("8BITMIME")]}
    async with ScriptedServer(script) as server:
        settings = RelaySettings(server.host, server.port, tls="none", timeout=5, client_name="client.test")
        pool = Pool(settings)

        async def send() -> None:
            async with pool.connection() as connection:
                await connection.send("webinar@who.int", "josé@people.test", b"Subject: x\r\n\r\nx\r\n")

        await send()
        await server.hang_up()
        with pytest.raises(Refused) as refusal:
            await send()
        assert classify(refusal.value.reply) is Verdict.RETRY_MAIL
        await server.hang_up()
        server.script["ehlo"] = offers("SMTPUTF8")
        await send()
        await pool.close()


@in_loop
async def test_an_address_that_no_machine_takes_fails() -> None:
    async with ScriptedServer(extensions=["8BITMIME"]) as server:
        pool = Pool(RelaySettings(server.host, server.port, tls="none", timeout=5, client_name="client.test"))
        with pytest.raises(Refused) as refusal:
            async with pool.connection() as connection:
                await connection.send("webinar@who.int", "josé@people.test", b"Subject: x\r\n\r\nx\r\n")
        assert classify(refusal.value.reply) is Verdict.FAIL_ADDRESS
        await pool.close()
