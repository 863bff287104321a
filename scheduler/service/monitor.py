"""Keeps the metrics of a service, and notices when due mails do not leave.

Its queries run in threads and over connections of their own, so that no mail waits for one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, make_url

from scheduler import metrics
from scheduler.alerts import KINDS, kind_of
from scheduler.aside import Aside, Hangs
from scheduler.clock import SteadyClock
from scheduler.database.engine import Database, newest_revision
from scheduler.delivery.relay import Relay
from scheduler.ledger.counting import (
    UNKNOWN,
    changes_to_absorb,
    count_deliveries,
    count_held,
    count_in_doubt,
    count_rows_set_aside,
    live_webinars,
    open_alerts,
    recent_doubts,
)
from scheduler.ledger.lateness import Accepted, Lateness, lateness
from scheduler.ledger.planning import webinars_to_plan
from scheduler.readiness import Kind, Reason
from scheduler.settings import Settings
from scheduler.troubles import Trouble, Troubles
from scheduler.zones.wall import tz_version

T = TypeVar("T")

LOOK_SECONDS = 5.0  # between two queries of due mails
COUNT_SECONDS = 10.0  # between two rounds of counting
COUNT_AGAIN_SECONDS = 60.0  # at least, between two counts of one webinar's deliveries
DISK_SECONDS = 10.0  # until a disk counts as hanging
SHARE = 0.01  # the largest part of the time that repeated counts of one thing may take
ROUND_SECONDS = 1.0  # for one round of counting; the next one begins with what was left out
STALLED_SECONDS = 60.0  # until due mails, of which none is accepted, are a reason
MOST_WEBINARS = 200  # in metrics: a webinar has a series for each message and state
RECENT = timedelta(minutes=15)
MOST_ATTEMPTS = 10_000  # searched for doubts
DELAY_SECONDS = 0.25  # between two measurements of the event loop
FRESH_SECONDS = 1.0  # for which an exposition is reused

_HELD = ""  # the key of the count of held mails; no webinar has this id


class Progress:
    """Whether due mails leave. Pure: observations come with the time of a monotonic clock.

    A full mailbox is retried for hours and says nothing about the relay. So mails that were put off count only from
    two on, and only as long as no other mail is accepted.
    """

    def __init__(self) -> None:
        self._since: float | None = (
            None  # the start of the time in which mails were due and none was accepted
        )
        self._accepted = Accepted()

    def note(self, at: float, seen: Lateness, allowed: bool) -> None:
        """Record an observation. `allowed`: whether the limits of any relay let mails begin."""
        waits = allowed and (seen.waiting > 0 or seen.put_off > 1)
        if not waits:
            self._since = None
        elif self._since is None or seen.accepted != self._accepted:
            self._since = at
        self._accepted = seen.accepted

    def stalled(self, at: float) -> float:
        """Seconds for which mails have been due and none was accepted."""
        return at - self._since if self._since is not None else 0.0


class Intake:
    """How long the oldest change of `registrants`, and the oldest webinar to plan, have waited. Pure."""

    def __init__(self) -> None:
        self._newest: deque[tuple[float, int]] = deque(
            maxlen=1000
        )  # time and id of the newest change at each look
        self._webinars: dict[str, float] = {}
        self._oldest, self._oldest_since = 0, 0.0

    def note(self, at: float, changes: tuple[int, int] | None, webinars: Collection[str]) -> None:
        self._webinars = {one: self._webinars.get(one, at) for one in webinars}
        if changes is None:
            self._newest.clear()
            self._oldest = 0
            return
        oldest, newest = changes
        if oldest != self._oldest:
            self._oldest, self._oldest_since = oldest, at
        while self._newest and self._newest[0][1] < oldest:
            self._newest.popleft()
        if not self._newest or self._newest[-1][1] < newest:
            self._newest.append((at, newest))

    def lag(self, at: float) -> float:
        """Seconds for which the oldest of both has waited."""
        since = [self._newest[0][0]] if self._newest else []
        return max((at - one for one in (*since, *self._webinars.values())), default=0.0)

    def stuck(self, at: float) -> float:
        """Seconds for which the same change has been the oldest, that is, in which none was taken in."""
        return at - self._oldest_since if self._oldest else 0.0


class Monitor:
    """Keeps the metrics of one service, from `start` until `stop`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clock: SteadyClock,
        relays: Sequence[Relay],
        holder: int = 0,
    ) -> None:
        self._database, self._clock, self._relays, self._holder = database, clock, relays, holder
        self._folders = folders(settings)
        self._disks = {of: Aside(f"the disk of the {of}", DISK_SECONDS) for of in self._folders}
        self._progress, self._intake = Progress(), Intake()
        self._seen = Lateness()
        self._counted: dict[str, dict[tuple[str, str], int]] = {}
        self._count_again: dict[str, float] = {}
        self._troubles = Troubles(Kind.WATCHING)
        self._tasks: list[asyncio.Task[None]] = []
        self._exposition, self._until = b"", 0.0
        self._one_by_one = asyncio.Lock()
        metrics.identify(newest_revision(), tz_version())
        metrics.know(relay.name for relay in relays)

    def start(self) -> None:
        """Start the loops."""
        self._tasks = [
            asyncio.create_task(self._keep("looking what is late", LOOK_SECONDS, self.look)),
            asyncio.create_task(self._keep("counting deliveries", COUNT_SECONDS, self.count)),
            asyncio.create_task(self._keep("measuring disks", COUNT_SECONDS, self.measure_disks)),
            asyncio.create_task(self._measure_delay()),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def look(self) -> None:
        """Query what is due and what waits to be planned. Raises DBAPIError."""
        now = self._clock.now()
        seen, changes, webinars = await asyncio.to_thread(
            self._read,
            lambda conn: (
                lateness(conn, now, self._holder),
                changes_to_absorb(conn),
                webinars_to_plan(conn),
            ),
        )
        at, self._seen = asyncio.get_running_loop().time(), seen
        self._progress.note(at, seen, allowed=not all(_rests(relay, now) for relay in self._relays))
        self._intake.note(at, changes, webinars)
        ages = {(one.webinar, one.message): (now - one.due_at).total_seconds() for one in seen.late}
        metrics.OLDEST_DUE.replace(dict(list(ages.items())[:MOST_WEBINARS]))
        metrics.PLANNING_LAG.set(self._intake.lag(at))
        metrics.STALLED.set(self._stalled(at))
        metrics.LEDGER_SEEN.set_to_current_time()

    async def count(self) -> None:
        """Count what is due to be counted again. Raises DBAPIError."""
        await asyncio.to_thread(self._count)
        metrics.COUNTED.set_to_current_time()

    async def measure_disks(self) -> None:
        """Measure the free space on the disks of the database and the state. Raises Trouble for a disk that hangs,
        after the others are measured; its metrics are removed until it answers."""
        hanging = list[str]()
        for of, folder in self._folders.items():
            try:
                there = await self._disks[of].run(partial(os.statvfs, folder))
            except Hangs:
                hanging.append(f"the disk of the {of} does not answer")
                metrics.forget_disk(of)
            except OSError:  # the folder does not exist yet
                continue
            else:
                metrics.DISK_FREE.labels(of).set(there.f_bavail * there.f_frsize)
                metrics.DISK_FREE_RATIO.labels(of).set(there.f_bavail / max(1, there.f_blocks))
        if hanging:
            raise Trouble("; ".join(hanging))

    @property
    def late(self) -> tuple[tuple[str, str, float], ...]:
        """Webinar, message, and the age in seconds of its oldest due mail, the oldest first."""
        now = self._clock.now()
        return tuple(
            (one.webinar, one.message, (now - one.due_at).total_seconds()) for one in self._seen.late
        )

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why mails that are due do not leave, and what could not be looked at."""
        at, found = asyncio.get_running_loop().time(), list(self._troubles.reasons)
        if (seconds := self._stalled(at)) and self.late:
            webinar, message, age = self.late[0]
            oldest = f"the oldest is {message} of {webinar}, due for {age:.0f} s"
            words = f"no mail was accepted for {seconds:.0f} s, and mails are due: {oldest}"
            found.append(Reason(Kind.NOT_ACCEPTED, words))
        if (seconds := self._intake.stuck(at)) > STALLED_SECONDS:
            words = f"rows of registrants wait to be planned, the same one first for {seconds:.0f} s"
            found.append(Reason(Kind.NOT_PLANNED, words))
        return tuple(found)

    async def exposition(self, ready: bool) -> bytes:
        """All metrics, at most a second old, however many clients ask."""
        async with self._one_by_one:
            if (loop := asyncio.get_running_loop()).time() >= self._until:
                self._look_around(ready)
                self._exposition = await asyncio.to_thread(metrics.exposition)
                self._until = loop.time() + FRESH_SECONDS
            return self._exposition

    def _stalled(self, at: float) -> float:
        """Seconds for which mails have been due and none was accepted; 0 while that is within patience, which grows
        where the pace lets mails begin minutes apart."""
        paces = [relay.pace.per_second for relay in self._relays]
        patience = STALLED_SECONDS + max((2 / pace for pace in paces if pace), default=0.0)
        seconds = self._progress.stalled(at)
        return seconds if seconds > patience else 0.0

    def _look_around(self, ready: bool) -> None:
        """Set the metrics that need no query."""
        metrics.READY.set(ready)
        metrics.CLOCK_WRONG.set(bool(self._clock.trouble))
        metrics.forget_old()
        for relay in self._relays:
            metrics.RELAY_UP.labels(relay.name).set(not relay.trouble)
            metrics.RELAY_STOPPED.labels(relay.name).set(relay.standing.stopped)
            pace = relay.pace.per_second
            metrics.RELAY_PACE.labels(relay.name).set(float("inf") if pace is None else pace)

    def _read(self, function: Callable[[Connection], T]) -> T:
        with self._database.reading() as conn:
            return function(conn)

    def _count(self) -> None:
        end, now = time.monotonic() + ROUND_SECONDS, self._clock.now()
        webinars, in_doubt, doubts, aside, alerts = self._read(
            lambda conn: (
                live_webinars(conn, now, MOST_WEBINARS),
                count_in_doubt(conn, now),
                recent_doubts(conn, now - RECENT, MOST_ATTEMPTS),
                count_rows_set_aside(conn),
                open_alerts(conn),
            )
        )
        metrics.IN_DOUBT.set(in_doubt)
        metrics.RECENT_DOUBTS.set(doubts)
        metrics.ROWS_SET_ASIDE.set(aside)
        kinds = list(map(kind_of, alerts))
        metrics.ALERTS.replace({(kind,): kinds.count(kind) for kind in (*KINDS, "other")})
        self._count_again = {key: at for key, at in self._count_again.items() if key in (*webinars, _HELD)}
        with self._counting(_HELD, COUNT_SECONDS, end) as now_is_time:
            if now_is_time:
                held = self._read(count_held)
                metrics.HELD.replace({key: mails for key, mails in held.items() if key[0] in webinars})
        for webinar in sorted(webinars, key=lambda one: self._count_again.get(one, 0.0)):
            with self._counting(webinar, COUNT_AGAIN_SECONDS, end) as now_is_time:
                if now_is_time:
                    self._counted[webinar] = self._read(partial(count_deliveries, webinar=webinar))
        self._counted = {one: self._counted[one] for one in webinars if one in self._counted}
        counted = {
            (webinar, *key): mails
            for webinar, counts in self._counted.items()
            for key, mails in counts.items()
        }
        metrics.DELIVERIES.replace({key: mails for key, mails in counted.items() if key[2] != UNKNOWN})
        metrics.UNKNOWN_ADDRESS.replace(
            {key[:2]: mails for key, mails in counted.items() if key[2] == UNKNOWN}
        )

    @contextmanager
    def _counting(self, what: str, every: float, end: float) -> Iterator[bool]:
        """Around a count: yields whether it is due. The longer it takes, the less often it is."""
        began = time.monotonic()
        is_due = self._count_again.get(what, 0.0) <= began < end
        yield is_due
        if is_due:
            self._count_again[what] = time.monotonic() + max(every, (time.monotonic() - began) / SHARE)

    async def _keep(self, what: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            with self._troubles.recorded(what):
                await work()
            await asyncio.sleep(seconds)

    async def _measure_delay(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wanted = loop.time() + DELAY_SECONDS
            await asyncio.sleep(DELAY_SECONDS)
            metrics.LOOP_DELAY.observe(max(0.0, loop.time() - wanted))


def _rests(relay: Relay, now: datetime) -> bool:
    """Whether the relay's daily limit is reached."""
    return relay.standing.rests and relay.standing.is_paused(now)


def folders(settings: Settings) -> dict[str, Path]:
    """The folders whose disks must not be full: of the database, if it is a file, and of the state."""
    found, url = dict[str, Path](), make_url(settings.database_url.get_secret_value())
    if url.get_backend_name() == "sqlite" and url.database:
        found["database"] = Path(url.database).parent
    found["state"] = settings.state_dir
    return found
