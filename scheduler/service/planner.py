"""Takes rows in and plans people beside sending: in short transactions, one webinar after the other.

Nobody's mails are claimed before they are planned, so the order of planning changes no mail; but new registrants come
before people who are planned again, say because their webinar was moved.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection

from scheduler import metrics
from scheduler.clock import Clock
from scheduler.database.chunk import Chunk
from scheduler.database.engine import Database
from scheduler.ledger.planning import Governing, absorb, plan_people, webinars_to_plan
from scheduler.readiness import Reason
from scheduler.registrants import signups
from scheduler.registrants.changes import next_webinar
from scheduler.troubles import Troubles
from scheduler.web.pages.waiting_list import end_waiting
from scheduler.webinar.model import Webinar
from scheduler.zones.names import load_names

T = TypeVar("T")

TAKING_IN = "taking in rows of registrants"
WHOSE_NEXT = "looking whose rows to take in next"
GIVING_PLACES = "giving places to people who wait for one"
PLACES_SECONDS = 5.0
"""How often places that became free are given away."""


class Planner:
    """Plans over one database. A failure concerns one webinar, or the rows, and does not stop the others."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        return_within: timedelta,
        planned: Callable[[], None],
        *,
        alone: bool = False,
    ) -> None:
        """`planned` is called after each transaction that planned somebody, who may be due at once. `alone`: nobody
        else writes to the database, so no time is left to them."""
        self._database, self._clock = database, clock
        self._return_within, self._planned = return_within, planned
        others_wait = not database.dialect.takes_replicas and not alone
        self._rows, self._people = Chunk(others_wait=others_wait), Chunk(others_wait=others_wait)
        self._turn, self._taken_last = 0, ""
        self._turns: dict[str, int] = {}  # the turn in which each webinar was last planned
        self._places_at = 0.0
        self._troubles = Troubles()

    @property
    def troubles(self) -> tuple[Reason, ...]:
        """What can't be planned now."""
        return self._troubles.reasons

    async def plan(self, governing: Mapping[str, Governing], seconds: float) -> bool:
        """Plan for `seconds`. Returns True when there is more to do."""
        if not self._turn:
            await asyncio.to_thread(load_names)  # loads the names of zones, outside a transaction
        await self._tend_signups(governing)
        end, done = time.monotonic() + seconds, set[str]()
        while True:
            more = await self._take_in(governing)
            waits = await self._database.run_reading(webinars_to_plan)
            self._troubles.retain({TAKING_IN, GIVING_PLACES, *map(_planning, waits)})
            if name := self._next({one: waits[one] for one in waits if one in governing and one not in done}):
                if not await self._plan_people(governing[name]):
                    done.add(name)  # or another service plans it, or it fails
            elif not more:
                return False
            if time.monotonic() >= end:
                return True

    def _next(self, waits: Mapping[str, bool]) -> str | None:
        """The webinar to plan now. Webinars with changed people and the others take turns."""
        self._turn += 1
        changed = [name for name in waits if waits[name]]
        others = [name for name in waits if not waits[name]]
        pool = (changed or others) if self._turn % 2 else (others or changed)
        return min(pool, key=lambda name: self._turns.get(name, 0), default=None)

    async def _tend_signups(self, governing: Mapping[str, Governing]) -> None:
        if time.monotonic() < self._places_at:
            return
        self._places_at = time.monotonic() + PLACES_SECONDS
        with self._troubles.recorded(GIVING_PLACES):
            for name in await self._database.run_reading(signups.waiting_for):
                if name in governing:
                    await self._tend_waiting_list(governing[name].webinar)
            too_late = self._clock.now() - signups.CONFIRMED_WITHIN
            if await self._database.run_reading(signups.has_unconfirmed, too_late):
                await self._database.run(signups.drop_unconfirmed, too_late)

    async def _tend_waiting_list(self, webinar: Webinar) -> None:
        now = self._clock.now()
        if webinar.cancelled or webinar.end <= now:
            while await self._database.run(end_waiting, now, webinar):
                pass
        else:
            await self._database.run(signups.promote, now, webinar)

    async def _take_in(self, governing: Mapping[str, Governing]) -> bool:
        # Every second turn begins after the last webinar, so that thousands of rows of one do not delay the others.
        after = None if self._turn % 2 else self._taken_last
        with self._troubles.recorded(TAKING_IN):
            now, most = self._clock.now(), self._rows.rows
            taken, took = await self._database.run(
                _timed, lambda conn: absorb(conn, now, governing, self._return_within, most, after)
            )
            self._rows.record(taken.rows, took)
            metrics.PLANNING.observe(took)
            if taken.webinar is not None:
                self._taken_last = taken.webinar
            await asyncio.sleep(self._rows.pause)
            return taken.more
        self._rows.failed()
        if after is not None:  # go on with the other webinars
            with self._troubles.recorded(WHOSE_NEXT):
                self._taken_last = await self._database.run(next_webinar, after)
        return False

    async def _plan_people(self, governing: Governing) -> int:
        name = governing.webinar.id
        self._turns[name] = self._turn
        with self._troubles.recorded(_planning(name)):
            now, most = self._clock.now(), self._people.rows
            people, took = await self._database.run(
                _timed, lambda conn: plan_people(conn, now, governing, most)
            )
            self._people.record(people, took)
            metrics.PLANNING.observe(took)
            if people:
                self._planned()
            await asyncio.sleep(self._people.pause)
            return people
        self._people.failed()
        return 0


def _planning(webinar: str) -> str:
    return f"planning {webinar}"


def _timed(conn: Connection, work: Callable[[Connection], T]) -> tuple[T, float]:
    """The result of a part of a transaction, and the seconds it took."""
    began = time.monotonic()
    return work(conn), time.monotonic() - began
