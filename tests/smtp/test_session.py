"""Signing in by XOAUTH2, at a real SMTP server and with tokens of a real endpoint."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from scheduler.input.relay_settings import OAuthSettings
from scheduler.smtp.pool import Pool, Refused, RelaySettings, Unreachable
from scheduler.smtp.replies import Verdict, classify
from tests.smtp.scripted import ScriptedServer
from tests.smtp_server import MailServer, ca_file, in_loop
from tests.token_server import TokenServer, token

MAILBOX = "webinar@example.org"
CONTENT = b"Subject: Hello\r\n\r\nWe meet on Thursday.\r\n"


class TokenTakingServer(MailServer):
    """It takes the tokens in `valid`. To any other it first says why, as Google's does, and waits for an empty line."""

    def __init__(self, *valid: str) -> None:
        super().__init__(tls="starttls", users={MAILBOX: ""})
        self.valid = set(valid)
        self.tried: list[str] = []
        self.said_to_the_challenge: list[bytes] = []

    async def auth_XOAUTH2(self, server: SMTP, arguments: list[str]) -> AuthResult:  # noqa: N802
        user, bearer, *rest = base64.b64decode(arguments[1]).split(b"\x01")
        assert (user, rest) == (f"user={MAILBOX}".encode(), [b"", b""])
        self.tried.append(bearer.decode().removeprefix("auth=Bearer "))
        if self.tried[-1] in self.valid:
            return AuthResult(success=True, auth_data=MAILBOX)
        why = json.dumps({"status": "400", "schemes": "Bearer", "scope": "https://mail.google.com/"})
        answer = await server.challenge_auth(why)
        assert isinstance(answer, bytes)
        self.said_to_the_challenge.append(answer)
        return AuthResult(
            success=False, handled=False, message="535 5.7.8 Username and Password not accepted"
        )


def pool_for(relay: Any, endpoint: TokenServer, **changes: Any) -> Pool:
    oauth = OAuthSettings(endpoint.url, "client", refresh_token="r3fresh")
    values: dict[str, Any] = {"tls": relay.tls, "ca_file": ca_file(), "timeout": 5.0, "username": MAILBOX}
    return Pool(RelaySettings(host=relay.host, port=relay.port, oauth=oauth, **(values | changes)))


async def send(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.send(MAILBOX, "ana@example.com", CONTENT)


@in_loop
async def test_a_mail_goes_signed_in_by_a_token() -> None:
    async with TokenTakingServer("one") as relay, TokenServer(token("one")) as endpoint:
        pool = pool_for(relay, endpoint)
        await asyncio.gather(send(pool), send(pool), send(pool))
        await pool.close()
        assert [mail.user for mail in relay.mails] == [MAILBOX] * 3
        assert len(endpoint.forms) == 1


@in_loop
async def test_a_token_that_was_revoked_is_replaced_once() -> None:
    async with TokenTakingServer("one") as relay, TokenServer(token("one"), token("two")) as endpoint:
        pool = pool_for(relay, endpoint)
        await send(pool)
        relay.valid = {"two"}
        await relay.hang_up()
        await send(pool)
        await pool.close()
        assert relay.tried == ["one", "one", "two"]
        assert relay.said_to_the_challenge == [b""]
        assert len(relay.mails) == 2


@in_loop
async def test_a_new_token_that_is_refused_stops_the_relay() -> None:
    async with TokenTakingServer() as relay, TokenServer(token("one")) as endpoint:
        pool = pool_for(relay, endpoint)
        with pytest.raises(Refused) as refusal:
            await send(pool)
        reply = refusal.value.reply
        assert (reply.stage, reply.code, reply.enhanced) == ("auth", 535, "5.7.8")
        assert classify(reply) is Verdict.STOP
        assert relay.tried == ["one"]
        assert len(endpoint.forms) == 1


@in_loop
async def test_a_second_token_that_is_refused_stops_the_relay() -> None:
    async with TokenTakingServer("one") as relay, TokenServer(token("one"), token("two")) as endpoint:
        pool = pool_for(relay, endpoint)
        await send(pool)
        relay.valid.clear()
        await relay.hang_up()
        with pytest.raises(Refused) as refusal:
            await send(pool)
        assert classify(refusal.value.reply) is Verdict.STOP
        assert relay.tried == ["one", "one", "two"]
        with pytest.raises(Refused):  # nor does it try a third when it is asked again
            await send(pool)
        assert relay.tried == ["one", "one", "two", "two"]
        await pool.close()


@in_loop
async def test_trouble_of_the_relay_for_now_costs_no_token() -> None:
    script: dict[str, Any] = {"auth": ["", "454 4.7.0 Temporary authentication failure", ""]}
    async with (
        ScriptedServer(script, tls="starttls", extensions=["AUTH XOAUTH2"]) as relay,
        TokenServer(token("one"), token("two")) as endpoint,
    ):
        pool = pool_for(relay, endpoint)
        await send(pool)
        await relay.hang_up()
        with pytest.raises(Refused) as refusal:
            await send(pool)
        assert classify(refusal.value.reply) is Verdict.PAUSE_RELAY
        await send(pool)
        await pool.close()
        assert len(endpoint.forms) == 1


@in_loop
async def test_a_token_of_real_length_goes_in_one_line() -> None:
    long = "x" * 3000  # as Microsoft's are; RFC 4954, 4.5 lets a line have 12,288 octets
    async with (
        ScriptedServer(tls="implicit", extensions=["AUTH XOAUTH2"]) as relay,
        TokenServer(token(long)) as endpoint,
    ):
        pool = pool_for(relay, endpoint)
        await send(pool)
        await pool.close()
        (line,) = [line for line in relay.commands if line.startswith("AUTH")]
        assert base64.b64decode(line.split()[2]).decode() == f"user={MAILBOX}\x01auth=Bearer {long}\x01\x01"


@in_loop
async def test_an_endpoint_that_refuses_is_named_at_the_stage_of_signing_in() -> None:
    async with TokenTakingServer() as relay, TokenServer((400, {"error": "invalid_grant"})) as endpoint:
        pool = pool_for(relay, endpoint)
        with pytest.raises(
            Unreachable,
            match=r"^auth: the token endpoint refuses: invalid_grant: the refresh token has expired",
        ) as failure:
            await send(pool)
        assert classify(failure.value.reply) is Verdict.STOP
        assert "r3fresh" not in str(failure.value)
        assert relay.tried == []


@in_loop
async def test_a_relay_that_offers_no_xoauth2_is_named() -> None:
    async with MailServer(tls="starttls") as relay, TokenServer(token("one")) as endpoint:
        pool = pool_for(relay, endpoint)
        with pytest.raises(Unreachable, match="does not offer AUTH XOAUTH2"):
            await send(pool)
        assert endpoint.forms == []


@in_loop
async def test_a_token_goes_in_the_clear_only_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.smtp.session._is_loopback", lambda address: False)
    async with (
        ScriptedServer(extensions=["AUTH XOAUTH2"]) as relay,
        TokenServer(token("one")) as endpoint,
    ):
        with pytest.raises(Unreachable, match="never sent in the clear"):
            await send(pool_for(relay, endpoint))
        assert endpoint.forms == []


def test_what_limits_belong_to_tells_accounts_apart_and_names_none() -> None:
    one, other = (RelaySettings("relay.test", 587, username=name) for name in ("ana@who.int", "ben@who.int"))
    assert one.account != other.account
    assert "who.int" not in one.account
    assert RelaySettings("relay.test", 587).account == "relay.test:587"
