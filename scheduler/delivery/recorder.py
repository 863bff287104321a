"""Group commit: whatever must be durable next goes into one transaction with what came in meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from scheduler.database.engine import Database, fault
from scheduler.ledger.outcomes import Outcome, Start, begin, conclude
from scheduler.ledger.states import State

log = structlog.get_logger()

RETRY_SECONDS = 1.0
GATHER_SECONDS = 0.003  # at most so long a transaction waits for company: it costs hardly more with it
MOST = 0.8  # of those who write again and again: so many are company enough


@dataclass
class _Group:
    starts: list[Start] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    writers: int = 0
    written: asyncio.Future[set[int]] | None = None


class Recorder:
    """Writes starts and outcomes to the ledger, together. An outcome is never given up while we live:
    a mail that was sent and not recorded would be sent again."""

    def __init__(self, database: Database) -> None:
        self.trouble = ""  # why the ledger can't be written now
        self._database = database
        self._next = _Group()
        self._writers = 1  # who wrote, or came meanwhile, the last time
        self._enough = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    async def write(self, outcomes: Iterable[Outcome], starts: Iterable[Start] = ()) -> set[int]:
        """Both are durable when this returns. Returns the ids of the starts that are ours to send: `sending` now."""
        outcomes, starts = list(outcomes), list(starts)
        if not (outcomes or starts):  # nothing to wait for, whatever others write
            return set()
        group = self._next
        group.outcomes += outcomes
        group.starts += starts
        group.writers += 1
        if group.written is None:
            group.written = asyncio.get_running_loop().create_future()
        if group.writers >= MOST * self._writers:
            self._enough.set()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        # Shielded: one waiter that is cancelled takes nothing from the others of its group.
        return await asyncio.shield(group.written)

    async def _write(self) -> None:
        while self._next.written is not None:
            await self._gather()
            group, self._next = self._next, _Group()
            begun = await self._commit(group)
            self._writers = group.writers + self._next.writers
            if group.written and not group.written.done():
                group.written.set_result(begun)

    async def _gather(self) -> None:
        """Wait for others of a burst: connections that take turns in twos and threes pay for many transactions."""
        if self._next.writers < MOST * self._writers:
            self._enough.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._enough.wait()

    async def _commit(self, group: _Group) -> set[int]:
        while True:
            try:
                begun = await self._database.run(_record, group.starts, group.outcomes)
            except OperationalError as error:
                self.trouble = f"the ledger can't be written: {fault(error)}"
                log.error("ledger not written, trying again", error=fault(error))
                await asyncio.sleep(RETRY_SECONDS)
            except DBAPIError as error:
                if len(group.starts) + len(group.outcomes) == 1:
                    log.error("ledger refuses an entry", error=fault(error), delivery=_ids(group))
                    return set()
                return await self._one_by_one(group)
            else:
                self.trouble = ""
                if sent := [one.claimed.id for one in group.outcomes if one.state is State.SENT]:
                    log.info("sent", deliveries=sent)
                return begun

    async def _one_by_one(self, group: _Group) -> set[int]:
        """One entry that the database refuses keeps none of the others out."""
        begun: set[int] = set()
        for outcome in group.outcomes:
            await self._commit(_Group(outcomes=[outcome]))
        for start in group.starts:
            begun |= await self._commit(_Group(starts=[start]))
        return begun


def _ids(group: _Group) -> list[int]:
    return [start.claimed.id for start in group.starts] + [one.claimed.id for one in group.outcomes]


def _record(conn: Connection, starts: list[Start], outcomes: list[Outcome]) -> set[int]:
    conclude(conn, outcomes)
    return begin(conn, starts)
