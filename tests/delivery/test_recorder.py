"""Group commit: who writes at the same time shares a transaction, and who has nothing to write waits for nobody."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from scheduler.database.engine import Database
from scheduler.delivery import recorder
from scheduler.delivery.recorder import Recorder
from scheduler.ledger.outcomes import Outcome
from scheduler.ledger.states import State
from tests.mail.test_stencil import CLAIMED
from tests.smtp_server import in_loop
from tests.support import utc

SENT = Outcome(CLAIMED, State.SENT, utc("2025-06-20 08:00"), "sent")


class Ledger:
    """Notes what each transaction held; each takes as long as it is told."""

    def __init__(self) -> None:
        self.transactions: list[int] = []
        self.go_on = asyncio.Event()

    async def run(self, function: Any, starts: list[Any], outcomes: list[Any]) -> set[int]:
        assert function is recorder._record
        self.transactions.append(len(starts) + len(outcomes))
        await self.go_on.wait()
        return set()


@in_loop
async def test_what_comes_in_while_one_is_written_goes_into_the_next_together() -> None:
    ledger = Ledger()
    writer = Recorder(cast(Database, ledger))
    first = asyncio.create_task(writer.write([SENT]))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(writer.write([SENT])) for _ in range(9)]
    await asyncio.sleep(0.01)
    ledger.go_on.set()
    await asyncio.gather(first, *others)
    assert ledger.transactions == [1, 9]


@in_loop
async def test_who_has_nothing_to_write_waits_for_nobody() -> None:
    ledger = Ledger()
    writer = Recorder(cast(Database, ledger))
    busy = asyncio.create_task(writer.write([SENT]))
    await asyncio.sleep(0.01)
    queued = asyncio.create_task(writer.write([SENT]))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(1):
        assert await writer.write([]) == set()
    ledger.go_on.set()
    await asyncio.gather(busy, queued)
