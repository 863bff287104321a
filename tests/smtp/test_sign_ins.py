"""A wrong password is sent once, and nobody waits for a connection that hangs."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.smtp import sign_ins
from scheduler.smtp.pool import Pool, RelaySettings
from tests.smtp.scripted import Deed, ScriptedServer
from tests.smtp_server import MailServer, in_loop

EIGHT = range(8)


def pool_for(server: MailServer | ScriptedServer) -> Pool:
    return Pool(
        RelaySettings(
            server.host,
            server.port,
            tls="none",
            connections=8,
            username="webinar",
            password="first",
            timeout=30,
        )
    )


async def send(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.send("webinar@who.int", "ana@people.test", b"Subject: x\r\n\r\nx\r\n")


async def seven_arrive_while_one_hangs(server: ScriptedServer) -> None:
    pool = pool_for(server)
    waiting = {asyncio.create_task(send(pool)) for _ in EIGHT}
    while len(waiting) > 1:
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert len(server.mails) == 7
    hanging = waiting.pop()
    hanging.cancel()
    await asyncio.wait([hanging])
    await pool.close()


@in_loop
async def test_a_wrong_password_is_sent_once_however_many_connections_there_may_be() -> None:
    async with ScriptedServer({"auth": "535 5.7.8 no"}) as server:
        pool = pool_for(server)
        for tries in (1, 2):
            found = await asyncio.gather(*(send(pool) for _ in EIGHT), return_exceptions=True)
            assert [str(one) for one in found] == ["auth: 535 5.7.8"] * 8
            assert sum(line.startswith("AUTH") for line in server.commands) == tries
        server.script.clear()
        await asyncio.gather(*(send(pool) for _ in EIGHT))
        assert len(server.mails) == 8
        await pool.close()


@pytest.mark.parametrize("stage", ["banner", "ehlo"])
@in_loop
async def test_a_first_connection_that_hangs_keeps_no_other_waiting(stage: str) -> None:
    """One machine of several behind a relay's name."""
    async with ScriptedServer({stage: [Deed.SILENCE]}) as server:
        await seven_arrive_while_one_hangs(server)


@in_loop
async def test_the_others_wait_a_moment_only_for_one_that_hangs_as_it_signs_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sign_ins, "TURN_SECONDS", 0.1)
    async with ScriptedServer({"auth": [Deed.SILENCE]}) as server:
        await seven_arrive_while_one_hangs(server)


@in_loop
async def test_who_is_signed_in_already_keeps_the_others_from_waiting() -> None:
    async with ScriptedServer() as server:
        pool = pool_for(server)
        async with pool.connection():
            server.script["auth"] = [Deed.SILENCE]
            hanging = asyncio.create_task(send(pool))
            await server.silent.wait()
            await send(pool)
        assert len(server.mails) == 1
        hanging.cancel()
        await asyncio.wait([hanging])
        await pool.close()
