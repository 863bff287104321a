"""What many webinars cost a service that has nothing to do: its planner's turn, and a claim that finds nothing.

    python -m benchmarks.many_webinars [--quick]

Each live webinar has one person, whose reminders are ahead; of ended ones there are four times as many.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from datetime import timedelta

from benchmarks.service import databases
from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.ledger import claims
from scheduler.service.planner import Planner
from tests.support import Ledger, utc, webinar

NOW = utc("2025-06-20 08:00")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one webinar, one engine: does it run?")
    quick = parser.parse_args().quick
    numbers, turns = ((1,), 2) if quick else ((1, 100, 500), 50)
    print(
        "| engine | live | ended | a planner's turn | an empty claim | the next wake-up |\n|---|---|---|---|---|---|"
    )
    for engine in ("sqlite",) if quick else ("sqlite", "postgresql"):
        with databases(engine) as new:
            for live in numbers:
                database = Database(new().url)
                database.migrate()
                figures = " | ".join(f"{one:.2f} ms" for one in _measure(database, live, turns))
                database.close()
                print(f"| {engine} | {live} | {4 * live} | {figures} |", flush=True)


def _measure(database: Database, live: int, turns: int) -> tuple[float, float, float]:
    ledger = Ledger(database)
    ledger.govern(*(webinar(id=f"w{number}") for number in range(live)))
    ledger.govern(*(webinar(id=f"over-{number}", status="ended") for number in range(4 * live)))
    for number in range(live):
        ledger.register("a@example.org", webinar=f"w{number}")
    ledger.plan(NOW)
    ledger.sql("UPDATE delivery SET state = 'sent' WHERE message = 'confirmation'")
    planner = Planner(database, VirtualClock(NOW), timedelta(hours=24), lambda: None)
    governing = ledger.governing

    def turn() -> None:
        asyncio.run(planner.plan(governing, 1))

    def claim() -> None:
        with database.transaction() as conn:
            claims.claim(conn, NOW, "token", 50, 50)

    def next_wake() -> None:
        with database.transaction() as conn:
            claims.next_wake(conn, NOW)

    return _median(turn, turns), _median(claim, turns), _median(next_wake, turns)


def _median(work: Callable[[], None], turns: int) -> float:
    """Milliseconds of one of so many."""
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1000


if __name__ == "__main__":
    main()
