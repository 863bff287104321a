"""Trials of texts in the background: in a child process, with a thread that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from scheduler import metrics
from scheduler.database.engine import Database
from scheduler.governing.verdicts import prune_verdicts, read_verdicts, store_verdicts
from scheduler.mail.text.layout import Layout
from scheduler.mail.texts import Key
from scheduler.mail.trial.pairs import Pair, untried
from scheduler.mail.trial.runner import KNOWN, Found, NotTried, remember, trim_known, try_pairs

log = structlog.get_logger()

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0


@dataclass(frozen=True, eq=False)
class Wanted:
    """The pairs of texts and webinars to be tried."""

    sources: Mapping[Key, str]
    layout: Layout
    pairs: Sequence[Pair]
    niceness: int = 0
    """By how much other programs go first (nice(2))."""

    @property
    def left(self) -> list[Pair]:
        """The pairs without a known verdict."""
        return untried(self.pairs, KNOWN)


class Trials:
    """Tries what was requested last; `collect` stores the verdicts."""

    def __init__(self, database: Database) -> None:
        self.trouble = ""
        """Why nothing could be tried at least twice in a row; it says nothing about the texts. "" if trials work."""
        self._database = database
        self._wanted: Wanted | None = None
        self._task: asyncio.Task[None] | None = None
        self._found: dict[str, Found] = {}
        self._pruned = False
        self._progress = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether anything is left to be tried."""
        return self._wanted is not None

    @property
    def news(self) -> bool:
        """Whether there are verdicts that `collect` has not stored yet."""
        return bool(self._found)

    async def request(self, now: datetime, wanted: Wanted) -> None:
        """Try these pairs in place of those requested before, except those whose verdict is in the database."""
        trim_known(pair.digest for pair in wanted.pairs)
        if left := wanted.left:
            digests = [pair.digest for pair in left]
            remember(await self._database.run(read_verdicts, digests))
        if not self._pruned:
            await self._database.run(prune_verdicts, now, [pair.digest for pair in wanted.pairs])
            self._pruned = True
        self._wanted = wanted if wanted.left else None
        if self._wanted and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._try())

    def clear(self) -> None:
        """Request nothing."""
        self._wanted = None

    async def collect(self, now: datetime) -> None:
        """Store the new verdicts for other services and the next start."""
        if found := dict(self._found):
            await self._database.run(store_verdicts, now, found)
            for digest in found:
                del self._found[digest]

    async def until_progress(self) -> None:
        """Wait for the next verdict, or until nothing can be tried any more."""
        self._progress.clear()
        if self.busy and not self.trouble:
            await self._progress.wait()

    async def until_idle(self) -> None:
        """Wait until everything is tried, or cannot be."""
        while self.busy and not self.trouble:
            await self.until_progress()

    async def stop(self) -> None:
        """Stop the child."""
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
                    expected = isinstance(error, NotTried)
                    why = str(error) if expected else f"{type(error).__name__}, a bug of this program"
                    log.warning("texts not tried", reason=why, exc_info=not expected)
                    failures += 1
                    if failures > 1:
                        self.trouble = f"texts cannot be tried, so new ones wait: {why}"
                    self._progress.set()
                    await asyncio.sleep(min(FIRST_RETRY_SECONDS * 2**failures, LAST_RETRY_SECONDS))
                else:
                    failures, self.trouble = 0, ""
                    if self._wanted is wanted:
                        self._wanted = None
        finally:
            self._wanted, self.trouble = None, ""
            self._progress.set()

    async def _try_once(self, wanted: Wanted) -> None:
        loop = asyncio.get_running_loop()

        def record(digest: str, found: Found) -> None:
            remember({digest: found})
            self._found[digest] = found
            loop.call_soon_threadsafe(self._progress.set)

        with metrics.TRYING.time():
            await asyncio.to_thread(
                try_pairs,
                wanted.left,
                wanted.sources,
                wanted.layout,
                record,
                lambda: self._wanted is not wanted,
                niceness=wanted.niceness,
            )
