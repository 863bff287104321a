"""Each cell of the table in `faults`: what the sender says of each mail, and what the relay really took."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from scheduler.smtp import pool as pool_module
from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import NotBegun
from scheduler.smtp.pool import Pool, RelayFailure, RelaySettings
from scheduler.smtp.replies import Reply, classify
from tests.delivery.faults import CELLS, Cell
from tests.smtp.scripted import CHUNKS, ScriptedServer, Taken
from tests.smtp_server import ca_file, in_loop, pass_time

_LETTERS = {"Reply": "S", "Refused": "R", "Unreachable": "U", "Doubtful": "D"}
_PATIENCE = 10.0  # seconds


def _mails(number: int) -> list[Mail]:
    """Each has a sender of its own, and dots where they hurt."""
    return [
        Mail.checked(
            f"sender{n}@example.org", f"reader{n}@example.com", b"Subject: %d\r\n\r\n.\r\n..\r\nEnd.\r\n" % n
        )
        for n in range(number)
    ]


async def _deliver(pool: Pool, mails: Sequence[Mail]) -> list[Reply | RelayFailure]:
    """As many at a time as the connection bears; a new connection where the last one is of no more use."""
    results: list[Reply | RelayFailure] = []
    while len(results) < len(mails):
        try:
            async with pool.connection() as connection:
                while connection.usable and (left := mails[len(results) :]):
                    some = await connection.send_all(left[: connection.window])
                    results += [
                        result for result in some if not isinstance(result, NotBegun)
                    ]  # the last ones
        except RelayFailure as failure:
            results.append(failure)
    return results


async def _time_flies_in_silence(server: ScriptedServer) -> None:
    """Whoever waits for a reply that does not come gives up at once."""
    while True:
        await server.silent.wait()
        pass_time(_PATIENCE)
        await asyncio.sleep(0.5)  # once more, where it did not wait yet


@pytest.mark.parametrize("cell", CELLS, ids=str)
@in_loop
async def test_what_becomes_of_each_mail(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_QUIT_TIMEOUT", _PATIENCE)
    mails = _mails(cell.before + len(cell.results))
    async with ScriptedServer(cell.fault, tls="starttls", extensions=CHUNKS) as server:
        settings = RelaySettings(
            host=server.host,
            port=server.port,
            ca_file=ca_file(),
            username="webinar",
            password="secret",
            client_name="client.test",
            timeout=_PATIENCE,
            pipelining=cell.way != "plain",
            chunking=cell.way == "chunks",
        )
        pool = Pool(settings, content_timeout=_PATIENCE)
        async with asyncio.TaskGroup() as group:
            flying = group.create_task(_time_flies_in_silence(server))
            results = await _deliver(pool, mails)
            await pool.close()
            flying.cancel()
        assert server.done.is_set()

    letters = "".join(_LETTERS[type(result).__name__] for result in results)
    assert letters == "S" * cell.before + cell.results
    concerned = results[cell.concerned]
    assert (classify(concerned.reply) if isinstance(concerned, RelayFailure) else None) is cell.verdict

    taken = [server.mails.count(Taken(mail.sender, mail.recipient, mail.content)) for mail in mails]
    assert sum(taken) == len(server.mails)  # nothing but what was sent, under its own sender
    may_be = {"S": (1,), "R": (0,), "U": (0,), "D": (0, 1)}
    assert all(number in may_be[letter] for number, letter in zip(taken, letters, strict=True))
    assert server.connections <= 2
    assert any(command.startswith("BDAT") for command in server.commands) == (cell.way == "chunks")
