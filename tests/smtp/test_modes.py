"""The fastest mode that a relay offers, until it breaks under it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduler.smtp.envelope import Mail
from scheduler.smtp.modes import MOST_IN_FLIGHT, PLAINER_SECONDS, Mode
from scheduler.smtp.pool import Pool, RelayFailure, RelaySettings
from scheduler.smtp.replies import Reply
from tests.smtp.scripted import CHUNKS, GROUPS, Deed, Fault, ScriptedServer
from tests.smtp_server import in_loop, pass_time

A_MAIL = Mail.checked("webinar@example.org", "ana@example.com", b"Subject: Hello\r\n\r\nOn Thursday.\r\n")


def pool_for(server: ScriptedServer, **changes: Any) -> Pool:
    values: dict[str, Any] = {"tls": "none", "timeout": 10.0, "client_name": "client.test"}
    return Pool(RelaySettings(host=server.host, port=server.port, **(values | changes)), content_timeout=10.0)


async def send(pool: Pool, number: int = 1) -> list[Reply | RelayFailure]:
    """One after the other, in groups as large as they may be, over one connection as long as possible."""
    results: list[Reply | RelayFailure] = []
    async with pool.connection() as connection:
        while len(results) < number and connection.usable:
            results += await connection.send_all([A_MAIL] * min(connection.window, number - len(results)))
    return results


async def mode(pool: Pool) -> Mode:
    async with pool.connection() as connection:
        return pool.modes.of(connection.session)


@pytest.mark.parametrize(
    ("extensions", "changes", "best"),
    [
        (CHUNKS, {}, Mode.CHUNKS),
        (CHUNKS, {"chunking": False}, Mode.GROUPS),
        (CHUNKS, {"pipelining": False}, Mode.PLAIN),
        (GROUPS, {}, Mode.GROUPS),
        (("CHUNKING",), {}, Mode.PLAIN),
        ((), {}, Mode.PLAIN),
    ],
)
@in_loop
async def test_the_way_is_the_best_of_what_is_offered_and_allowed(
    extensions: tuple[str, ...], changes: dict[str, bool], best: Mode
) -> None:
    async with ScriptedServer(extensions=extensions) as server:
        pool = pool_for(server, **changes)
        assert await mode(pool) is best
        await pool.close()


@pytest.mark.parametrize("deed", [Deed.GARBAGE, Deed.LONG, Deed.TWICE])
@pytest.mark.parametrize(("extensions", "then"), [(CHUNKS, Mode.GROUPS), (GROUPS, Mode.PLAIN)])
@in_loop
async def test_out_of_step_it_is_used_the_next_plainer_mode_for_an_hour(
    extensions: tuple[str, ...], then: Mode, deed: Deed
) -> None:
    async with ScriptedServer(Fault("mail", deed, nth=2), extensions=extensions) as server:
        pool = pool_for(server)
        before = await mode(pool)
        with capture_logs() as logs:
            await send(pool, 2)
            assert await mode(pool) is then
            assert all(isinstance(result, Reply) for result in await send(pool, 3))
        (entry,) = logs
        assert (entry["event"], entry["mode"]) == ("pipelining reduced for an hour", then.name.lower())
        pass_time(PLAINER_SECONDS - 1)
        assert await mode(pool) is then
        pass_time(2)
        assert await mode(pool) is before
        await pool.close()


@in_loop
async def test_broken_twice_without_a_mail_that_got_through_it_is_used_a_plainer_way() -> None:
    class Refuses(ScriptedServer):
        """Hangs up in the middle of each mail."""

        async def _midway(self, talk: Any) -> bool:
            talk.writer.transport.abort()
            return True

    async with Refuses(extensions=GROUPS) as server:
        pool = pool_for(server)
        await send(pool)
        assert await mode(pool) is Mode.GROUPS
        with capture_logs() as logs:
            await send(pool)
            assert await mode(pool) is Mode.PLAIN
            await send(pool)
            await send(pool)
        assert len(logs) == 1
        await pool.close()


@in_loop
async def test_a_mail_that_got_through_between_two_breaks_makes_good() -> None:
    class EverySecond(ScriptedServer):
        async def _midway(self, talk: Any) -> bool:
            if self.connections % 2:
                talk.writer.transport.abort()
            return await super()._midway(talk)

    async with EverySecond(extensions=GROUPS) as server:
        pool = pool_for(server)
        for _ in range(4):
            await send(pool)
            async with pool.connection() as connection:
                await connection.send_all([A_MAIL])
                connection.session.abort()
        assert await mode(pool) is Mode.GROUPS
        await pool.close()


@in_loop
async def test_all_connections_that_break_together_are_one_break() -> None:
    together = asyncio.Barrier(4)

    class Falls(ScriptedServer):
        async def _midway(self, talk: Any) -> bool:
            await together.wait()
            talk.writer.transport.abort()
            return True

    async with Falls(extensions=GROUPS) as server:
        pool = pool_for(server, connections=4)
        await asyncio.gather(*(send(pool) for _ in range(4)))
        assert await mode(pool) is Mode.GROUPS
        await pool.close()


@in_loop
async def test_a_relay_that_says_that_it_leaves_has_not_broken() -> None:
    async with ScriptedServer(extensions=GROUPS) as server:
        pool = pool_for(server)
        for _ in range(4):
            server.script["mail"] = [Deed.LEAVE]
            await send(pool)
        assert await mode(pool) is Mode.GROUPS
        await pool.close()


@pytest.mark.parametrize("code", [500, 502, 503, 504])
@in_loop
async def test_a_relay_that_does_not_know_what_it_offers_is_used_without(code: int) -> None:
    class Forgetful(ScriptedServer):
        async def _bdat(self, talk: Any, size: int) -> None:
            await talk.reader.readexactly(size)
            await self._say(talk, f"{code} 5.5.1 what?")

    async with Forgetful(extensions=CHUNKS) as server:
        pool = pool_for(server)
        assert await mode(pool) is Mode.CHUNKS
        await send(pool, 2)
        assert await mode(pool) is Mode.GROUPS
        assert all(isinstance(result, Reply) for result in await send(pool, 2))
        await pool.close()


@in_loop
async def test_fewer_mails_fly_at_once_after_trouble_and_more_again_with_each_group_that_goes_well() -> None:
    async with ScriptedServer(Fault("content", Deed.CLOSE, nth=3), extensions=CHUNKS) as server:
        pool = pool_for(server)
        assert pool.modes.window == MOST_IN_FLIGHT == 8
        await send(pool, 9)
        assert pool.modes.window == 4
        windows = []
        async with pool.connection() as connection:
            for _ in range(6):
                await connection.send_all([A_MAIL])
                windows.append(connection.window)
        assert windows == [5, 6, 7, 8, 8, 8]
        await pool.close()
