"""Tries texts beside everything else: in a child, with a thread that waits for it. Nothing waits for what is found."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from scheduler import metrics
from scheduler.database.engine import Database
from scheduler.governing.verdicts import keep_verdicts, prune_verdicts, read_verdicts
from scheduler.mail.text.layout import Layout
from scheduler.mail.texts import Key
from scheduler.mail.trial.pairs import Pair, untried
from scheduler.mail.trial.runner import KNOWN, Found, NotTried, keep_known, remember, try_pairs

log = structlog.get_logger()

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is to be known: these pairs of texts and webinars."""

    sources: Mapping[Key, str]
    layout: Layout
    pairs: Sequence[Pair]
    niceness: int = 0
    """How far what else the machine does goes first (nice(2))."""

    @property
    def left(self) -> list[Pair]:
        """The pairs of which nothing is known."""
        return untried(self.pairs, KNOWN)


class Trials:
    """Finds out what is wanted, newest wish first; what it found is kept by `collect`."""

    def __init__(self, database: Database) -> None:
        self.trouble = ""
        """Why nothing can be tried, where that goes on: nothing about the texts."""
        self._database = database
        self._wanted: Wanted | None = None
        self._task: asyncio.Task[None] | None = None
        self._found: dict[str, Found] = {}
        self._pruned = False
        self._moved = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether there is something to be tried."""
        return self._wanted is not None

    @property
    def news(self) -> bool:
        """Whether something was found since `collect`."""
        return bool(self._found)

    async def take_up(self, now: datetime, wanted: Wanted) -> None:
        """Try these, and nothing of what was wanted before, but for what is known to the database."""
        keep_known(pair.digest for pair in wanted.pairs)
        if left := wanted.left:
            digests = [pair.digest for pair in left]
            remember(await self._database.run(read_verdicts, digests))
        if not self._pruned:
            await self._database.run(prune_verdicts, now, [pair.digest for pair in wanted.pairs])
            self._pruned = True
        self._wanted = wanted if wanted.left else None
        if self._wanted and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._try())

    def drop(self) -> None:
        """Nothing is wanted."""
        self._wanted = None

    async def collect(self, now: datetime) -> None:
        """Keep what was found, for other services and the next start."""
        if found := dict(self._found):
            await self._database.run(keep_verdicts, now, found)
            for digest in found:
                del self._found[digest]

    async def moved(self) -> None:
        """Wait for the next verdict, or the end of trying."""
        self._moved.clear()
        if self.busy and not self.trouble:
            await self._moved.wait()

    async def done(self) -> None:
        """Wait until everything is tried, or can't be."""
        while self.busy and not self.trouble:
            await self.moved()

    async def stop(self) -> None:
        """End the child."""
        self._wanted = None
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _try(self) -> None:
        failures = 0
        try:
            while wanted := self._wanted:
                try:
                    await self._try_once(wanted)
                except Exception as error:
                    why = (
                        str(error)
                        if isinstance(error, NotTried)
                        else f"{type(error).__name__}, a fault of ours"
                    )
                    log.warning("texts not tried", reason=why, exc_info=not isinstance(error, NotTried))
                    failures += 1
                    if failures > 1:
                        self.trouble = f"texts can't be tried, and those that are new wait: {why}"
                    self._moved.set()
                    await asyncio.sleep(min(FIRST_RETRY_SECONDS * 2**failures, LAST_RETRY_SECONDS))
                else:
                    failures, self.trouble = 0, ""
                    if self._wanted is wanted:
                        self._wanted = None
        finally:
            self._wanted, self.trouble = None, ""
            self._moved.set()

    async def _try_once(self, wanted: Wanted) -> None:
        loop = asyncio.get_running_loop()

        def told(digest: str, found: Found) -> None:
            remember({digest: found})
            self._found[digest] = found
            loop.call_soon_threadsafe(self._moved.set)

        with metrics.TRYING.time():
            await asyncio.to_thread(
                try_pairs,
                wanted.left,
                wanted.sources,
                wanted.layout,
                told,
                lambda: self._wanted is not wanted,
                niceness=wanted.niceness,
            )
