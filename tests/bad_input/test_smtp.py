"""What a relay that misbehaves gets: for each stage and misdeed the exception and the verdict, and nothing lost.

After each case the very same pool sends another mail, which arrives: whatever a relay did to one mail, it did
nothing to the next.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from scheduler.smtp.pool import Doubtful, Pool, Refused, RelaySettings, Unreachable
from scheduler.smtp.replies import Verdict, classify
from tests.smtp.scripted import Act, Deed, ScriptedServer
from tests.smtp_server import Tls, ca_file, in_loop, pass_time

RETRY, PAUSE = Verdict.RETRY_MAIL, Verdict.PAUSE_RELAY
FAIL, STOP = Verdict.FAIL_ADDRESS, Verdict.STOP
CLOSE, RESET, SILENCE = Deed.CLOSE, Deed.RESET, Deed.SILENCE
GARBAGE, HALF, TWICE, HANG_UP = Deed.GARBAGE, Deed.HALF, Deed.TWICE, Deed.HANG_UP

SENDER, RECIPIENT = "webinar@example.org", "ana@example.com"
CONTENT = b"Subject: Hello\r\n\r\nWe meet on Thursday.\r\n"

# stage of the misdeed, the misdeed -> exception, stage and code that it tells, verdict
CASES: list[tuple[str, Act, type[Exception], str, int, Verdict]] = [
    ("banner", "421 4.3.2 Not now", Refused, "connect", 421, PAUSE),
    ("banner", "450 4.3.2 Not now", Refused, "connect", 450, PAUSE),
    ("banner", "554 5.7.1 No service here", Refused, "connect", 554, STOP),
    ("banner", "250 Hello", Unreachable, "connect", 0, PAUSE),
    ("banner", CLOSE, Unreachable, "connect", 0, PAUSE),
    ("banner", RESET, Unreachable, "connect", 0, PAUSE),
    ("banner", SILENCE, Unreachable, "connect", 0, PAUSE),
    ("banner", GARBAGE, Unreachable, "connect", 0, PAUSE),
    ("banner", HALF, Unreachable, "connect", 0, PAUSE),
    ("banner", HANG_UP, Unreachable, "ehlo", 0, PAUSE),
    ("ehlo", "421 4.3.2 Not now", Refused, "ehlo", 421, PAUSE),
    ("ehlo", "451 4.3.0 Later", Refused, "ehlo", 451, PAUSE),
    ("ehlo", "550 5.7.1 Bad name", Refused, "ehlo", 550, STOP),
    ("ehlo", CLOSE, Unreachable, "ehlo", 0, PAUSE),
    ("ehlo", RESET, Unreachable, "ehlo", 0, PAUSE),
    ("ehlo", SILENCE, Unreachable, "ehlo", 0, PAUSE),
    ("ehlo", GARBAGE, Unreachable, "ehlo", 0, PAUSE),
    ("ehlo", HALF, Unreachable, "ehlo", 0, PAUSE),
    ("starttls", "421 4.3.2 Not now", Refused, "starttls", 421, PAUSE),
    ("starttls", "454 4.7.0 TLS not available", Refused, "starttls", 454, PAUSE),
    ("starttls", "502 5.5.1 Not known", Refused, "starttls", 502, STOP),
    ("starttls", CLOSE, Unreachable, "starttls", 0, PAUSE),
    ("starttls", RESET, Unreachable, "starttls", 0, PAUSE),
    ("starttls", SILENCE, Unreachable, "starttls", 0, PAUSE),
    ("starttls", GARBAGE, Unreachable, "starttls", 0, PAUSE),
    ("auth", "421 4.7.0 Too many errors", Refused, "auth", 421, PAUSE),
    ("auth", "454 4.7.0 Later", Refused, "auth", 454, PAUSE),
    ("auth", "535 5.7.8 Wrong", Refused, "auth", 535, STOP),
    ("auth", "334 What else?", Unreachable, "auth", 0, PAUSE),
    ("auth", CLOSE, Unreachable, "auth", 0, PAUSE),
    ("auth", SILENCE, Unreachable, "auth", 0, PAUSE),
    ("auth", GARBAGE, Unreachable, "auth", 0, PAUSE),
    ("auth", HALF, Unreachable, "auth", 0, PAUSE),
    ("auth", HANG_UP, Unreachable, "mail", 0, PAUSE),
    ("mail", "421 4.3.2 Not now", Refused, "mail", 421, PAUSE),
    ("mail", "454 Throttling failure: Maximum sending rate exceeded.", Refused, "mail", 454, PAUSE),
    ("mail", "550 5.7.1 Sender refused", Refused, "mail", 550, STOP),
    ("mail", "354 What?", Unreachable, "mail", 0, PAUSE),
    ("mail", CLOSE, Unreachable, "mail", 0, PAUSE),
    ("mail", RESET, Unreachable, "mail", 0, PAUSE),
    ("mail", SILENCE, Unreachable, "mail", 0, PAUSE),
    ("mail", GARBAGE, Unreachable, "mail", 0, PAUSE),
    ("mail", HALF, Unreachable, "mail", 0, PAUSE),
    ("mail", TWICE, Unreachable, "mail", 0, PAUSE),
    ("mail", HANG_UP, Unreachable, "rcpt", 0, PAUSE),
    ("rcpt", "421 4.3.2 Not now", Refused, "rcpt", 421, PAUSE),
    ("rcpt", "450 4.2.0 Greylisted", Refused, "rcpt", 450, RETRY),
    ("rcpt", "550 5.1.1 User unknown", Refused, "rcpt", 550, FAIL),
    ("rcpt", "554 5.7.1 Relay access denied", Refused, "rcpt", 554, STOP),
    ("rcpt", "550 5.7.1 Sender address rejected: our policy", Refused, "rcpt", 550, STOP),
    ("rcpt", CLOSE, Unreachable, "rcpt", 0, PAUSE),
    ("rcpt", RESET, Unreachable, "rcpt", 0, PAUSE),
    ("rcpt", SILENCE, Unreachable, "rcpt", 0, PAUSE),
    ("rcpt", GARBAGE, Unreachable, "rcpt", 0, PAUSE),
    ("rcpt", HALF, Unreachable, "rcpt", 0, PAUSE),
    ("rcpt", TWICE, Unreachable, "rcpt", 0, PAUSE),
    ("rcpt", HANG_UP, Unreachable, "data", 0, PAUSE),
    ("data", "421 4.3.2 Not now", Refused, "data", 421, PAUSE),
    ("data", "451 4.3.0 Later", Refused, "data", 451, RETRY),
    ("data", "554 5.5.1 No", Refused, "data", 554, RETRY),
    ("data", "250 What?", Unreachable, "data", 0, PAUSE),
    ("data", CLOSE, Unreachable, "data", 0, PAUSE),
    ("data", RESET, Unreachable, "data", 0, PAUSE),
    ("data", SILENCE, Unreachable, "data", 0, PAUSE),
    ("data", GARBAGE, Unreachable, "data", 0, PAUSE),
    ("data", HALF, Unreachable, "data", 0, PAUSE),
    ("data", TWICE, Unreachable, "data", 0, PAUSE),
    # From here on the mail may have been accepted.
    ("midway", CLOSE, Doubtful, "content", 0, RETRY),
    ("midway", RESET, Doubtful, "content", 0, RETRY),
    ("midway", SILENCE, Doubtful, "content", 0, RETRY),
    ("midway", "421 4.3.2 Not now", Refused, "content", 421, PAUSE),
    ("content", "421 4.3.2 Not now", Refused, "content", 421, PAUSE),
    ("content", "451 4.3.0 Later", Refused, "content", 451, RETRY),
    ("content", "554 5.7.1 Looks like spam", Refused, "content", 554, STOP),
    ("content", "550 5.1.1 User unknown", Refused, "content", 550, FAIL),
    ("content", "354 What?", Doubtful, "content", 0, RETRY),
    ("content", CLOSE, Doubtful, "content", 0, RETRY),
    ("content", RESET, Doubtful, "content", 0, RETRY),
    ("content", SILENCE, Doubtful, "content", 0, RETRY),
    ("content", GARBAGE, Doubtful, "content", 0, RETRY),
    ("content", HALF, Doubtful, "content", 0, RETRY),
]


async def send(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.send(SENDER, RECIPIENT, CONTENT)


def pool_for(server: ScriptedServer) -> Pool:
    settings = RelaySettings(
        host=server.host,
        port=server.port,
        tls=server.tls,
        username="webinar",
        password="secret",
        timeout=60.0,
        ca_file=ca_file(),
        client_name="client.test",
    )
    return Pool(settings)


async def run_out_of_patience(server: ScriptedServer) -> None:
    """Once the server says nothing more, lets the time pass that a client waits at most."""
    await server.silent.wait()
    pass_time(601)


def _name(case: Any) -> str | None:
    return case.name if isinstance(case, Deed) else None


@pytest.mark.parametrize(("stage", "act", "raised", "told_at", "code", "verdict"), CASES, ids=_name)
@in_loop
async def test_a_relay_that_misbehaves(
    stage: str, act: Act, raised: type[Exception], told_at: str, code: int, verdict: Verdict
) -> None:
    tls: Tls = "starttls" if stage == "starttls" else "none"
    async with ScriptedServer({stage: [act]}, tls=tls) as server, asyncio.TaskGroup() as background:
        silence = background.create_task(run_out_of_patience(server))
        pool = pool_for(server)
        with pytest.raises((Refused, Unreachable, Doubtful)) as failure:
            await send(pool)
        silence.cancel()
        assert type(failure.value) is raised
        reply = failure.value.reply
        assert (reply.stage, reply.code) == (told_at, code)
        assert classify(reply) is verdict
        assert RECIPIENT not in str(failure.value)
        taken = 1 if stage == "content" and raised is Doubtful else 0  # a mail in doubt may have arrived
        assert len(server.mails) == taken

        await send(pool)
        await pool.close()
        assert len(server.mails) == taken + 1


@in_loop
async def test_what_is_accepted_twice_over_is_accepted_and_the_connection_given_up() -> None:
    async with ScriptedServer({"content": [TWICE]}) as server:
        pool = pool_for(server)
        await send(pool)
        await send(pool)
        await pool.close()
        assert (len(server.mails), server.connections) == (2, 2)


@in_loop
async def test_a_relay_that_hangs_up_after_its_offer_is_not_said_to_offer_no_starttls() -> None:
    async with ScriptedServer({"ehlo": [HANG_UP]}, tls="starttls") as server:
        pool = pool_for(server)
        with pytest.raises(Unreachable) as failure:
            await send(pool)
        assert failure.value.reply.stage == "starttls"
        assert classify(failure.value.reply) is PAUSE


@in_loop
async def test_a_relay_that_hangs_up_after_it_accepted_has_accepted() -> None:
    async with ScriptedServer({"content": [HANG_UP]}) as server:
        pool = pool_for(server)
        await send(pool)
        await send(pool)
        await pool.close()
        assert (server.commands.count("DATA"), server.connections) == (2, 2)


@in_loop
async def test_nobody_listens() -> None:
    async with ScriptedServer() as server:
        pool = pool_for(server)
    with pytest.raises(Unreachable) as failure:
        await send(pool)
    assert (failure.value.reply.stage, failure.value.reply.code) == ("connect", 0)
    assert classify(failure.value.reply) is PAUSE


@pytest.mark.parametrize("host", ["a..b", "relay.invalid"])
@in_loop
async def test_a_host_that_cannot_exist(host: str) -> None:
    pool = Pool(RelaySettings(host=host, port=25, timeout=5.0, client_name="client.test"))
    with pytest.raises(Unreachable) as failure:
        await send(pool)
    assert failure.value.reply.stage == "connect"


@in_loop
async def test_tls_where_the_relay_speaks_none() -> None:
    async with ScriptedServer() as server:
        settings = RelaySettings(
            host=server.host, port=server.port, tls="implicit", ca_file=ca_file(), timeout=5.0
        )
        with pytest.raises(Unreachable) as failure:
            await send(Pool(settings))
        assert failure.value.reply.stage == "connect"
