"""Group commit: who writes at the same time shares a transaction, and who has nothing to write waits for nobody."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from scheduler.database.engine import Database
from scheduler.delivery import recorder
from scheduler.delivery.recorder import LedgerTrouble, Recorder
from scheduler.ledger.entries import Outcome
from scheduler.ledger.states import State
from tests.mail.writing.test_stencil import CLAIMED
from tests.smtp_server import in_loop
from tests.support import utc

SENT = Outcome(CLAIMED, State.SENT, utc("2025-06-20 08:00"), "sent")


class Ledger:
    """Notes what each transaction held; each takes as long as it is told."""

    def __init__(self) -> None:
        self.transactions: list[int] = []
        self.faults: list[Exception] = []
        self.go_on = asyncio.Event()

    async def run_sending(self, function: Any, starts: list[Any], outcomes: list[Any], *more: Any) -> Any:
        assert function is recorder._record
        self.transactions.append(len(starts) + len(outcomes))
        await self.go_on.wait()
        if self.faults:
            raise self.faults.pop(0)
        return recorder._Written(set(), None, False, [])


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


# Trouble


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(recorder, "LAST_RETRY_SECONDS", 0.1)


def failing(kind: type[DBAPIError], cause: Exception) -> DBAPIError:
    return kind("UPDATE delivery", {}, cause)


@pytest.mark.parametrize(
    "fault",
    [
        failing(OperationalError, psycopg.errors.AdminShutdown()),  # 57P01
        failing(InternalError, psycopg.errors.ReadOnlySqlTransaction()),  # 25006, in a failover
        failing(OperationalError, psycopg.errors.IdleInTransactionSessionTimeout()),  # 25P03
        failing(ProgrammingError, psycopg.errors.InsufficientPrivilege()),  # 42501
        failing(InternalError, psycopg.errors.InternalError_()),  # XX000
        failing(OperationalError, psycopg.errors.DeadlockDetected()),  # 40P01
        failing(InterfaceError, psycopg.InterfaceError()),
        failing(OperationalError, sqlite3.OperationalError()),
        PoolTimeout("QueuePool limit reached"),
        KeyError("a bug of ours"),
        RecursionError(),
        MemoryError(),
    ],
    ids=lambda error: type(getattr(error, "orig", None) or error).__name__,
)
@in_loop
async def test_trouble_of_the_database_or_ours_gives_nothing_up(fault: Exception) -> None:
    ledger = Ledger()
    ledger.faults = [fault] * 3
    ledger.go_on.set()
    writer = Recorder(cast(Database, ledger))
    writing = asyncio.create_task(writer.write([SENT, SENT]))
    with pytest.raises(LedgerTrouble, match="the ledger can't be written: "):
        await writer.until_recorded()
    assert writer.trouble
    async with asyncio.timeout(5):
        assert await writing == set()
        await writer.until_recorded()
    assert ledger.transactions == [2] * 4
    assert writer.trouble == ""


@in_loop
async def test_a_database_that_hangs_is_trouble_of_the_ledger_until_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It refuses nothing: it says nothing at all, as when it, or the pooler before it, stands still."""
    monkeypatch.setattr(recorder, "SILENT_SECONDS", 0.02)
    ledger = Ledger()
    writer = Recorder(cast(Database, ledger))
    writing = asyncio.create_task(writer.write([SENT]))
    with pytest.raises(LedgerTrouble, match="the ledger can't be written: the database does not answer"):
        await writer.until_recorded()
    ledger.go_on.set()
    await writing
    assert writer.trouble == ""
    assert ledger.transactions == [1]


@in_loop
async def test_what_was_not_written_is_handed_out_once_writing_is_given_up() -> None:
    ledger = Ledger()
    writer = Recorder(cast(Database, ledger))
    sent = [replace(SENT, reply=f"queued as {number}") for number in range(3)]
    first = asyncio.create_task(writer.write(sent[:1]))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(writer.write(sent[1:]))
    await asyncio.sleep(0.01)
    assert writer.abandon() == sent
    for task in (first, second):
        task.cancel()


@in_loop
async def test_a_writer_whose_task_died_goes_on_with_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever for a task that is no more: whoever comes next starts another one."""
    ledger = Ledger()
    writer = Recorder(cast(Database, ledger))
    writing = asyncio.create_task(writer.write([SENT]))
    await asyncio.sleep(0.01)
    assert writer._writing
    writer._writing.cancel()
    await asyncio.sleep(0.01)
    ledger.go_on.set()
    async with asyncio.timeout(5):
        await writer.until_recorded()
        await writing
    assert ledger.transactions == [1, 1]
