"""Mails get their turns, in one process and over replicas, at the rate that the relay allows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from scheduler.database.engine import Database, execute
from scheduler.delivery.pace import DayIsFull, Pace
from tests.smtp_server import in_loop

pytestmark = pytest.mark.engines("sqlite")


class PatientLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only by being waited for, and then at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self._select = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._wait  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now

    def _wait(self, seconds: float | None) -> Any:
        assert seconds is not None, "nothing will ever happen"
        self.now += seconds
        return self._select(0)


def patiently(main: Callable[[PatientLoop], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, PatientLoop)
        runner.run(main(loop))


WORK = (
    st.lists(  # of one worker: how many turns it wants, how long it is busy then, how long all stands still
        st.tuples(
            st.integers(1, 8),
            st.sampled_from([0.0, 0.0, 0.001, 0.3, 20.0]),
            st.sampled_from([0.0, 0.0, 0.0, 2.0]),
        ),
        min_size=1,
        max_size=15,
    )
)


@given(st.integers(1, 20_000), st.lists(WORK, min_size=1, max_size=5))
def test_in_no_window_do_more_mails_begin_than_its_length_allows(
    per_minute: int, workers: list[list[tuple[int, float, float]]]
) -> None:
    begun: list[float] = []

    async def main(loop: PatientLoop) -> None:
        pace = Pace(per_minute)

        async def work(tasks: list[tuple[int, float, float]]) -> None:
            for wanted, busy, stalled in tasks:
                turns = await pace.turns(wanted)
                assert 1 <= turns <= wanted
                begun.extend([loop.now] * turns)
                loop.now += stalled
                await asyncio.sleep(busy)

        await asyncio.gather(*map(work, workers))

    patiently(main)
    per_second = per_minute / 60
    for first in range(len(begun)):
        for last in range(first, len(begun)):
            seconds = begun[last] - begun[first]
            assert last - first + 1 <= per_second * (seconds + 1) + 2 + 1e-6


@pytest.mark.parametrize("per_minute", [30, 800, 60_000])
def test_as_many_begin_as_may(per_minute: int) -> None:
    async def main(loop: PatientLoop) -> None:
        pace, begun, start = Pace(per_minute), 0, loop.now

        async def work() -> None:
            nonlocal begun
            while loop.now < start + 60:
                turns = await pace.turns(8)
                begun += turns
                await asyncio.sleep(0.01)

        await asyncio.gather(*(work() for _ in range(4)))
        assert begun == pytest.approx(per_minute, rel=0.05, abs=6)  # four are under way at the end

    patiently(main)


@pytest.mark.parametrize(("per_minute", "apart"), [(60, 1.0), (600, 0.1), (6000, 0.01)])
def test_mails_are_spaced_evenly(per_minute: int, apart: float) -> None:
    async def main(loop: PatientLoop) -> None:
        pace, begun = Pace(per_minute), list[float]()
        await pace.turns(1000)  # after a time without mails, the first go at once
        for _ in range(120):
            assert await pace.turns(8) == 1
            begun.append(loop.now)
        assert [later - one for one, later in pairwise(begun)] == pytest.approx([apart] * 119)

    patiently(main)


def test_who_gives_up_waiting_takes_nobody_elses_turn() -> None:
    async def main(loop: PatientLoop) -> None:
        pace = Pace(60)
        await pace.turns(1)
        await pace.turns(1)
        first, second = (asyncio.create_task(pace.turns(1)) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        start = loop.now
        assert await second == 1
        assert loop.now - start < 1.0

    patiently(main)


# Without limits.
def test_without_limits_nobody_waits_for_anything() -> None:
    turns = Pace().turns(8)
    with pytest.raises(StopIteration) as ended:  # it runs to its end without an event loop
        turns.send(None)
    assert ended.value.value == 8


def test_without_limits_a_complaint_slows_mails_down_for_a_while() -> None:
    async def main(loop: PatientLoop) -> None:
        pace = Pace()

        async def mails(number: int) -> float:
            """Mails a second."""
            start, begun = loop.now, 0
            while begun < number:
                turns = await pace.turns(8)
                begun += turns
                await asyncio.sleep(0.04)
                pace.note_accepted(turns)
            return begun / (loop.now - start)

        assert await mails(4000) == pytest.approx(200)
        pace.slow_down()
        assert pace.limited
        assert 90 < await mails(500) < 115
        await mails(20_000)
        assert not pace.limited

    patiently(main)


# Shared.
def replicas(database: Database, number: int = 2, **limits: int) -> list[Pace]:
    return [Pace(**limits, database=database, account="relay:587") for _ in range(number)]  # type: ignore[arg-type]


def row(database: Database) -> Any:
    with database.transaction() as conn:
        return execute(conn, "SELECT * FROM relay_pace").one()


async def numbers(pace: Pace, *wanted: int) -> list[int]:
    return [await pace.turns(one) for one in wanted]


@pytest.mark.engines("both")
@in_loop
async def test_replicas_share_a_rate(database: Database) -> None:
    loop, begun = asyncio.get_running_loop(), list[float]()

    async def work(pace: Pace) -> None:
        while len(begun) < 60:
            turns = await pace.turns(4)
            begun.extend([loop.time()] * turns)

    await asyncio.gather(*(work(pace) for pace in replicas(database, 3, per_minute=2400)))
    assert begun[59] - begun[0] >= (60 - 40 - 2) / 40  # a second's worth may begin together


@pytest.mark.engines("both")
@in_loop
async def test_replicas_share_a_day_and_a_restart_forgets_nothing(database: Database) -> None:
    one, other = replicas(database, per_day=10)
    assert await numbers(one, 4) == [4]
    assert await numbers(other, 4, 4) == [4, 2]
    (restarted,) = replicas(database, 1, per_day=10)
    with pytest.raises(DayIsFull, match="the daily limit of mails is reached") as full:
        await restarted.turns(1)
    assert timedelta(hours=23) < full.value.until - datetime.now(UTC) <= timedelta(hours=25)


@in_loop
async def test_each_relay_and_account_has_limits_of_its_own(database: Database) -> None:
    await Pace(per_day=1, database=database, account="relay:587").turns(1)
    assert await Pace(per_day=1, database=database, account="relay:465").turns(1) == 1


@pytest.mark.engines("both")
@in_loop
async def test_a_complaint_to_one_replica_slows_all(database: Database) -> None:
    one, other = replicas(database, per_minute=60_000)
    one.slow_down()
    await one.turns(1)
    assert row(database).slowed_to == 0.5
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):  # seconds; its turn comes after two
            await other.turns(8)


@in_loop
async def test_what_happened_is_told_once(database: Database) -> None:
    (pace,) = replicas(database, 1, per_day=1000)
    pace.note_accepted(3000)
    pace.slow_down()
    await pace.turns(1)
    told = row(database)
    assert told.recent == 3000
    assert told.slowed_to == 500
    with database.transaction() as conn:  # as if some time had passed
        execute(conn, "UPDATE relay_pace SET changed_at = changed_at - 6")
    await pace.turns(1)
    assert row(database).recent == 3000
    assert row(database).slowed_to == 500


@in_loop
async def test_what_was_accepted_brings_it_back(database: Database) -> None:
    (pace,) = replicas(database, 1, per_day=1000)
    pace.note_accepted(300)
    pace.slow_down()
    await pace.turns(1)
    assert pace.limited
    with database.transaction() as conn:  # as if some time had passed
        execute(conn, "UPDATE relay_pace SET changed_at = changed_at - 10, slowed_to = climbs_to")
    pace.note_accepted(1)
    await pace.turns(1)
    assert not pace.limited


@pytest.mark.engines("both")
@in_loop
async def test_it_goes_by_the_clock_that_all_share(database: Database) -> None:
    (pace,) = replicas(database, 1, per_minute=60)
    await pace.turns(1)
    assert abs(row(database).next_turn - time.time()) < 30


@in_loop
async def test_without_limits_the_database_is_not_asked(database: Database) -> None:
    (pace,) = replicas(database, 1)
    pace.note_accepted(8)
    pace.slow_down()
    assert pace.limited
    await pace.turns(1)
    with database.transaction() as conn:
        assert execute(conn, "SELECT count(*) FROM relay_pace").scalar_one() == 0


@in_loop
async def test_a_database_that_does_not_answer_is_the_callers_matter_and_loses_no_complaint(
    database: Database,
) -> None:
    (pace,) = replicas(database, 1, per_minute=6000)
    pace.slow_down()
    with database.transaction() as conn:
        execute(conn, "ALTER TABLE relay_pace RENAME TO gone")
    with pytest.raises(DBAPIError):
        await pace.turns(1)
    with database.transaction() as conn:
        execute(conn, "ALTER TABLE gone RENAME TO relay_pace")
    await pace.turns(1)
    assert pace.limited
    assert row(database).slowed_to == 0.5


@in_loop
async def test_turns_are_reserved_for_all_who_wait_and_for_nobody_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    ask = database.run

    async def counted(*args: Any) -> Any:
        nonlocal asked
        asked += 1
        return await ask(*args)

    monkeypatch.setattr(database, "run", counted)
    (pace,) = replicas(database, 1, per_minute=60_000, per_day=1000)
    turns = await asyncio.gather(*(pace.turns(8) for _ in range(10)))
    assert asked <= 3
    await pace.turns(1)
    assert sum(json.loads(row(database).hours).values()) == sum(turns) + 1
