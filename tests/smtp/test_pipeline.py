"""Mails in a pipeline: over BDAT several in one write, over DATA one a round trip, each reply to its own command."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import NotBegun
from scheduler.smtp.pool import Connection, Doubtful, Pool, Refused, RelayFailure, RelaySettings, Unreachable
from scheduler.smtp.replies import Reply
from tests.delivery.rolling import send_over
from tests.smtp.scripted import CHUNKS, GROUPS, Deed, Fault, ScriptedServer, Stage, Taken
from tests.smtp_server import in_loop

EXIM = {
    "mail": "250 OK",
    "rcpt": "250 Accepted",
    "rset": "250 Reset OK",
    "content": "250 OK id=1xWCDs-0005Q5-1P",
}
ALIKE = dict.fromkeys(("mail", "rcpt", "rset", "content"), "250 OK")


def pool_for(server: ScriptedServer, **changes: Any) -> Pool:
    patience = changes.pop("content_timeout", 10.0)
    values: dict[str, Any] = {"tls": "none", "timeout": 10.0, "client_name": "client.test"}
    return Pool(
        RelaySettings(host=server.host, port=server.port, **(values | changes)), content_timeout=patience
    )


def a_mail(number: int, text: str = ".\r\n..\r\n.dots\r\n", recipient: str = "") -> Mail:
    content = f"Subject: {number}\r\n\r\n{text}".encode()
    return Mail.checked(f"sender{number}@example.org", recipient or f"reader{number}@example.com", content)


def as_taken(mails: Sequence[Mail]) -> list[Taken]:
    return [Taken(mail.sender, mail.recipient, mail.content) for mail in mails]


async def warmed(connection: Connection) -> Connection:
    """The first mail is over: in chunks from now on, where the relay takes them."""
    assert connection.window == 1
    (result,) = await connection.send_all([a_mail(99)])
    assert isinstance(result, Reply)
    return connection


def verbs(server: ScriptedServer) -> list[str]:
    return [command.split()[0] for command in server.commands]


class Withholds(ScriptedServer):
    """Keeps its replies back from when it has taken `after` mails until it has taken `until`."""

    after = until = 0
    kept = ""

    async def _say(self, talk: Any, text: str, end: str = "\r\n") -> None:
        self.kept += text + end
        if not self.after <= len(self.mails) < self.until:
            said, self.kept = self.kept, ""
            await super()._say(talk, said, end="")


class AnswersLate(ScriptedServer):
    """Keeps the reply to a mail back until the next command is there."""

    last = 0
    kept = ""

    async def _say(self, talk: Any, text: str, end: str = "\r\n") -> None:
        self.kept += text + end
        if text != self._yes("content") or len(self.mails) == self.last:
            said, self.kept = self.kept, ""
            await super()._say(talk, said, end="")


# BDAT.
@in_loop
async def test_eight_mails_go_out_without_a_word_of_the_relay_between_them() -> None:
    mails = [a_mail(number) for number in range(8)]
    async with Withholds(extensions=CHUNKS) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            await warmed(connection)
            server.after, server.until = 1, 9
            assert connection.window == 8
            results = await connection.send_all(mails)
        await pool.close()
    assert all(isinstance(result, Reply) for result in results)
    assert server.mails[1:] == as_taken(mails)
    assert verbs(server)[4:-1] == ["RSET", "MAIL", "RCPT", "BDAT"] * 8
    assert server.commands[7] == f"BDAT {len(mails[0].content)} LAST"


@in_loop
async def test_the_next_mails_follow_as_soon_as_half_of_them_have_their_replies() -> None:
    mails = [a_mail(number) for number in range(30)]
    async with Withholds(extensions=CHUNKS) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            await warmed(connection)
            server.after, server.until = 6, 13  # the fifth's reply waits for the twelfth mail
            results, in_flight = await send_over(connection, mails)
        await pool.close()
    assert all(isinstance(result, Reply) for result in results)
    assert server.mails[1:] == as_taken(mails)
    assert max(in_flight) == 8
    assert server.connections == 1


@in_loop
async def test_all_but_the_first_of_a_burst_go_by_bdat() -> None:
    async with ScriptedServer(extensions=CHUNKS) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            results, in_flight = await send_over(connection, [a_mail(number) for number in range(20)])
        await pool.close()
    assert all(isinstance(result, Reply) for result in results)
    assert Counter(verbs(server))["DATA"] == 1
    assert Counter(verbs(server))["BDAT"] == 19
    assert max(in_flight) == 8


@in_loop
async def test_a_window_rolls_no_further_than_a_connection_may_carry() -> None:
    mails = [a_mail(number) for number in range(30)]
    async with ScriptedServer(extensions=CHUNKS) as server:
        pool = pool_for(server, mails_per_connection=12)
        async with pool.connection() as connection:
            results, _ = await send_over(connection, mails)
            assert not connection.usable
        await pool.close()
    assert [type(result) for result in results] == [Reply] * 12


@pytest.mark.parametrize("nth", [7, *(pytest.param(nth, marks=pytest.mark.full) for nth in (2, 12))])
@pytest.mark.parametrize("deed", Deed)
@pytest.mark.parametrize("stage", ["rset", "mail", "rcpt", "midway", "content"])
@in_loop
async def test_whatever_happens_in_a_window_that_rolls_no_mail_is_lost_or_sent_twice(
    stage: Stage, deed: Deed, nth: int
) -> None:
    mails = [a_mail(number) for number in range(24)]
    patience = 0.2 if deed is Deed.SILENCE else 10.0
    results: list[Reply | RelayFailure] = []
    async with ScriptedServer(Fault(stage, deed, nth), extensions=CHUNKS) as server:
        pool = pool_for(server, timeout=patience, content_timeout=patience)
        while len(results) < len(mails):
            async with pool.connection() as connection:
                some, in_flight = await send_over(connection, mails[len(results) :])
            results += some
            assert max(in_flight) <= 8
        await pool.close()
        assert server.done.is_set()
    taken = [server.mails.count(one) for one in as_taken(mails)]
    assert sum(taken) == len(server.mails), "nothing but what was sent"
    may_be = {Reply: (1,), Refused: (0,), Unreachable: (0,), Doubtful: (0, 1)}
    assert all(number in may_be[type(result)] for number, result in zip(taken, results, strict=True))
    assert sum(isinstance(result, Doubtful) for result in results) <= 8


@in_loop
async def test_the_first_mail_over_a_connection_goes_by_data() -> None:
    async with ScriptedServer(extensions=CHUNKS) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            await connection.send_all([a_mail(0)])
            await connection.send_all([a_mail(1)])
        await pool.close()
    assert verbs(server) == ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "BDAT", "QUIT"]


@in_loop
async def test_a_setting_turns_each_step_off() -> None:
    for changes, verb in (({"chunking": False}, "DATA"), ({"pipelining": False}, "DATA")):
        async with ScriptedServer(extensions=CHUNKS) as server:
            pool = pool_for(server, **changes)
            async with pool.connection() as connection:
                assert connection.window == (1 if "pipelining" in changes else 8)
                await connection.send_all([a_mail(0)])
                await connection.send_all([a_mail(1)])
            await pool.close()
        assert "BDAT" not in verbs(server)
        assert verbs(server).count(verb) == 2


@pytest.mark.parametrize("words", [{}, EXIM], ids=["enhanced codes", "as Exim speaks"])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "content"])
@in_loop
async def test_the_reply_to_a_recipient_never_counts_for_a_mail(stage: Stage, words: dict[str, str]) -> None:
    """One reply too many: from there on, each is taken for the one behind it."""
    async with ScriptedServer(Fault(stage, Deed.TWICE, nth=3), extensions=CHUNKS, words=words) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            await warmed(connection)
            results = await connection.send_all([a_mail(number) for number in range(4)])
            assert not connection.usable
        await pool.close()
    sent = 2 if stage == "content" else 1
    assert [type(result) for result in results] == [Reply] * sent + [Doubtful] * (4 - sent)


@in_loop
async def test_where_a_relay_always_says_the_same_mails_go_by_data() -> None:
    mails = [a_mail(number) for number in range(3)]
    async with ScriptedServer(extensions=CHUNKS, words=ALIKE) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            await warmed(connection)
            results = await connection.send_all(mails)
        await pool.close()
    assert all(isinstance(result, Reply) for result in results)
    assert "BDAT" not in verbs(server)


class TakesAll(ScriptedServer):
    """Accepts BDAT though it has refused the envelope."""

    async def _bdat(self, talk: Any, size: int) -> None:
        await talk.reader.readexactly(size)
        await self._say(talk, "250 2.0.0 taken")


@pytest.mark.parametrize("stage", ["mail", "rcpt"])
@in_loop
async def test_a_mail_that_is_accepted_after_its_refusal_is_in_doubt_never_sent(stage: Stage) -> None:
    address = "sender1@example.org" if stage == "mail" else "reader1@example.com"
    async with TakesAll(extensions=CHUNKS, refuses={(stage, address)}) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            await warmed(connection)
            results = await connection.send_all([a_mail(number) for number in range(3)])
        await pool.close()
    assert [type(result) for result in results] == [Reply, Doubtful, Doubtful]


@in_loop
async def test_a_421_without_a_hang_up_is_an_answer_to_each() -> None:
    class Tired(ScriptedServer):
        """As Exim does past its `smtp_accept_max_per_connection`."""

        async def _mail(self, talk: Any, command: str) -> None:
            if talk.mails == 3:
                await self._say(talk, "421 too many messages in this connection")
            else:
                await super()._mail(talk, command)

    async with Tired(extensions=CHUNKS) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            await warmed(connection)
            results = await connection.send_all([a_mail(number) for number in range(2)])
            more = await connection.send_all([a_mail(number) for number in range(2, 5)])
        await pool.close()
    assert all(isinstance(result, Reply) for result in [*results, *more])  # over a new connection, at once
    assert server.connections == 2
    assert len(set(server.mails)) == len(server.mails) == 6


# DATA.
@in_loop
async def test_the_next_envelope_goes_along_with_the_end_of_the_content() -> None:
    mails = [a_mail(number) for number in range(3)]
    async with AnswersLate(extensions=GROUPS) as server:
        server.last = 3
        pool = pool_for(server)
        async with pool.connection() as connection:
            results = await connection.send_all(mails)
        await pool.close()
    assert all(isinstance(result, Reply) for result in results)
    assert server.mails == as_taken(mails)
    assert verbs(server)[1:-1] == ["MAIL", "RCPT", "DATA", *["RSET", "MAIL", "RCPT", "DATA"] * 2]


@pytest.mark.parametrize("polite", [False, True])
@in_loop
async def test_a_refused_recipient_gets_nothing_even_where_the_relay_asks_for_content(polite: bool) -> None:
    mails = [a_mail(number) for number in range(4)]
    refuses: set[tuple[Stage, str]] = {("rcpt", "reader1@example.com"), ("rcpt", "reader2@example.com")}
    async with ScriptedServer(extensions=GROUPS, polite=polite, refuses=refuses) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            results = await connection.send_all(mails)
        await pool.close()
    assert [type(result) for result in results] == [Reply, Refused, Refused, Reply]
    assert [str(result) for result in results[1:3]] == ["rcpt: 550 5.1.1 no such user"] * 2
    assert server.mails == as_taken([mails[0], mails[3]])
    assert server.connections == 1


@in_loop
async def test_of_a_window_one_mail_is_in_doubt_when_the_connection_breaks_and_the_others_go_once_more() -> (
    None
):
    mails = [a_mail(number) for number in range(8)]
    async with ScriptedServer(Fault("content", Deed.CLOSE, nth=3), extensions=GROUPS) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            assert connection.window == 8
            results = await connection.send_all(mails)
        await pool.close()
    assert [type(result) for result in results] == [Reply] * 2 + [Doubtful] + [Reply] * 5
    assert server.connections == 2
    assert len(set(server.mails)) == len(server.mails) == 8


@in_loop
async def test_what_was_not_written_when_a_relay_falls_silent_is_not_in_doubt() -> None:
    mails = [a_mail(number) for number in range(8)]
    async with ScriptedServer(Fault("content", Deed.SILENCE), extensions=GROUPS) as server:
        pool = pool_for(server, content_timeout=0.3, timeout=0.3)
        async with pool.connection() as connection:
            results = await connection.send_all(mails)
        await pool.close()
    assert [type(result) for result in results] == [Doubtful] + [NotBegun] * 7
    assert server.mails == as_taken(mails[:1])


@in_loop
async def test_the_next_mails_join_a_window_over_data_when_half_of_it_has_its_replies() -> None:
    mails = [a_mail(number) for number in range(30)]
    async with ScriptedServer(extensions=GROUPS) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            results, in_flight = await send_over(connection, mails)
        await pool.close()
    assert all(isinstance(result, Reply) for result in results)
    assert server.mails == as_taken(mails)
    assert max(in_flight) == 8
    assert len(in_flight) > 30 / 8 + 1
    assert server.connections == 1


@pytest.mark.parametrize("extensions", [(), GROUPS, CHUNKS], ids=["plain", "groups", "chunks"])
@in_loop
async def test_a_mail_that_may_not_go_any_more_is_not_begun(extensions: Sequence[str]) -> None:
    """Its time is over, or it is planned otherwise, by when its turn comes."""
    mails = [a_mail(number) for number in range(4)]
    mails[2] = replace(mails[2], may_go=lambda announced: False)
    async with ScriptedServer(extensions=extensions) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            results, _ = await send_over(connection, mails)
        await pool.close()
    assert [type(result) for result in results] == [Reply, Reply, NotBegun, Reply]
    assert server.mails == as_taken([mails[0], mails[1], mails[3]])
    assert server.connections == 1


@in_loop
async def test_no_content_goes_out_after_a_stop_though_its_envelope_did() -> None:
    stopped = False

    class Stops(ScriptedServer):
        async def _end(self, talk: Any, content: bytes, answered: bool) -> None:
            nonlocal stopped
            stopped = len(self.mails) == 1  # while the second mail has no reply
            await super()._end(talk, content, answered)

    mails = [replace(a_mail(number), may_go=lambda announced: not stopped) for number in range(8)]
    async with Stops(extensions=GROUPS) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            results = await connection.send_all(mails)
            assert not connection.usable
        await pool.close()
    assert [type(result) for result in results] == [Reply] * 2 + [NotBegun] * 6
    assert verbs(server).count("MAIL") == 3
    assert server.mails == as_taken(mails[:2])
    assert server.connections == 1


@pytest.mark.parametrize("extensions", [("PIPELINING",), ("PIPELINING", "CHUNKING")])
@in_loop
async def test_what_the_relay_can_not_carry_is_refused_alone(extensions: Sequence[str]) -> None:
    mails = [
        a_mail(0),
        a_mail(1, recipient="josé@example.com"),
        a_mail(2),
        a_mail(3, text="À jeudi."),
        a_mail(4),
    ]
    async with ScriptedServer(extensions=extensions) as server:
        pool = pool_for(server)
        async with pool.connection() as connection:
            results, _ = await send_over(connection, mails)
        await pool.close()
    codes = [result.reply.enhanced if isinstance(result, RelayFailure) else "" for result in results]
    assert codes == ["", "5.6.7", "", "5.6.3", ""]
    assert server.mails == as_taken([mails[0], mails[2], mails[4]])
    assert server.connections == 1


# Whatever is refused.
NO: list[Stage | None] = [None, None, "mail", "rcpt", "data", "content"]


@pytest.mark.parametrize("extensions", [(), GROUPS, CHUNKS], ids=["plain", "groups", "chunks"])
@given(fates=st.lists(st.sampled_from(NO), max_size=20), polite=st.booleans(), exim=st.booleans())
@settings(max_examples=25, deadline=None)
def test_each_mail_gets_its_own_reply(
    extensions: Sequence[str], fates: Sequence[Stage | None], polite: bool, exim: bool
) -> None:
    mails = [a_mail(number) for number in range(len(fates))]
    refuses = {
        (fate, mail.sender if fate == "mail" else mail.recipient)
        for fate, mail in zip(fates, mails, strict=True)
        if fate
    }

    @in_loop
    async def go() -> None:
        async with ScriptedServer(
            extensions=extensions, refuses=refuses, polite=polite, words=EXIM if exim else {}
        ) as server:
            pool = pool_for(server)
            results: list[Reply | RelayFailure] = []
            by_data: list[Mail] = []
            async with pool.connection() as connection:
                while left := mails[len(results) :]:
                    group = left[: connection.window]
                    by_data += group if extensions is not CHUNKS or connection.window == 1 else []
                    results += await connection.send_all(group)
            await pool.close()
        for fate, mail, result in zip(fates, mails, results, strict=True):
            if fate == "data" and mail not in by_data:
                fate = None  # BDAT has no such stage  # noqa: PLW2901
            stage = result.reply.stage if isinstance(result, Refused) else ""
            assert stage == (fate or "")
            assert server.mails.count(*as_taken([mail])) == (fate is None)
        assert server.connections == 1

    go()


# Trouble.
@pytest.mark.parametrize("extensions", [GROUPS, CHUNKS], ids=["groups", "chunks"])
@in_loop
async def test_a_relay_that_does_not_read_ends_by_the_time_limit(extensions: Sequence[str]) -> None:
    class Deaf(ScriptedServer):
        async def _midway(self, talk: Any) -> bool:
            if self.mails:
                await asyncio.sleep(60)
            return await super()._midway(talk)

    big = "x" * 70 + "\r\n"
    mails = [a_mail(number, text=big * 30_000) for number in range(3)]  # 2 MB each
    async with Deaf(extensions=extensions) as server:
        pool = pool_for(server, timeout=0.3, content_timeout=0.3)
        async with pool.connection() as connection:
            (first,) = await connection.send_all([a_mail(9)])
            assert isinstance(first, Reply)
            results = await connection.send_all(mails)
            assert not connection.usable
        await pool.close()
    # Over BDAT all were written, over DATA the others were never begun, and a new connection is silent as well.
    assert [type(result) for result in results] == (
        [Doubtful] * 3 if extensions is CHUNKS else [Doubtful, Doubtful, NotBegun]
    )


@pytest.mark.parametrize("extensions", [GROUPS, CHUNKS], ids=["groups", "chunks"])
@in_loop
async def test_a_relay_that_answers_byte_by_byte_has_no_longer_for_a_reply(extensions: Sequence[str]) -> None:
    class Dribbles(ScriptedServer):
        async def _say(self, talk: Any, text: str, end: str = "\r\n") -> None:
            if self.mails and text == self._yes("content"):
                for byte in text:
                    await super()._say(talk, byte, end="")
                    await asyncio.sleep(0.1)
            await super()._say(talk, text, end)

    async with Dribbles(extensions=extensions, words={"content": "250 taken"}) as server:
        server.mails.append(Taken("", "", b""))
        pool = pool_for(server, content_timeout=0.4)
        async with pool.connection() as connection:
            (result,) = await connection.send_all([a_mail(0)])
        await pool.close()
    assert isinstance(result, Doubtful)
    assert "no answer in time" in str(result)


@pytest.mark.parametrize("extensions", [GROUPS, CHUNKS], ids=["groups", "chunks"])
@pytest.mark.parametrize("stage", ["rset", "mail", "rcpt", "data", "midway", "content"])
@in_loop
async def test_cancelled_at_any_stage_it_hangs_up_at_once(stage: Stage, extensions: Sequence[str]) -> None:
    if stage == "data" and extensions is CHUNKS:
        return
    nth = 1 if stage == "rset" else 2
    async with ScriptedServer(Fault(stage, Deed.SILENCE, nth), extensions=extensions) as server:
        pool = pool_for(server)

        async def two() -> None:
            async with pool.connection() as connection:
                await connection.send_all([a_mail(0)])
                await connection.send_all([a_mail(1)])

        task = asyncio.create_task(two())
        await server.done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with pool.connection() as connection:  # its place is free again
            (result,) = await connection.send_all([a_mail(2)])
            assert isinstance(result, Reply)
        await pool.close()
        assert server.connections == 2


@pytest.mark.parametrize("extensions", [GROUPS, CHUNKS], ids=["groups", "chunks"])
@in_loop
async def test_a_mail_cut_short_never_gets_its_end(extensions: Sequence[str]) -> None:
    big = a_mail(1, text=("x" * 70 + "\r\n") * 200_000)  # more than the system's buffers hold
    async with ScriptedServer(Fault("midway", Deed.SILENCE, nth=2), extensions=extensions) as server:
        pool = pool_for(server)

        async def two() -> None:
            async with pool.connection() as connection:
                await connection.send_all([a_mail(0)])
                await connection.send_all([big])

        task = asyncio.create_task(two())
        await server.done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pool.close()
    assert server.mails == as_taken([a_mail(0)])
