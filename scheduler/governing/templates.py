"""The folder of texts and what governs: proposes its sound content, and reads the rows with which mails are written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from scheduler.database.engine import Database, execute
from scheduler.governing.layouts import propose_layout, read_governing_layout, sound_layout
from scheduler.governing.proposals import digest, mark_running
from scheduler.governing.texts import (
    governing_texts,
    name_of,
    propose_texts,
    read_governing_texts,
    sources_of,
)
from scheduler.governing.trials import Trials, Wanted
from scheduler.mail.text.layout import Layout
from scheduler.mail.texts import Key, Texts
from scheduler.mail.trial.pairs import Verdicts, pairs_of, verdicts_of
from scheduler.mail.trial.runner import KNOWN
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar

ADOPT_EVERY = timedelta(seconds=5)  # how often results are adopted while many texts are tried
NICENESS = 10  # of trials in a service: planning and sending go first
FIRST_SECONDS = 30.0  # longest wait of a first start for its first texts


class Templates:
    """The texts and the layout that govern, and what is wrong with the folder."""

    def __init__(self, root: Path, database: Database, holder: int, *, waits: bool = False) -> None:
        """`holder`: this service's number among the replicas. `waits`: `absorb` waits until texts are tried;
        otherwise trials run in the background, and what governs goes out in the meantime."""
        self.texts = Texts()
        self.layout: Layout | None = None
        """None: there never was a sound one, so no mail can go out."""
        self.layout_problems: tuple[Problem, ...] = ()
        self.trials = Trials(database)
        self.verdicts = Verdicts()
        self._root, self._database, self._holder, self._waits = root, database, holder, waits
        self._sound_layout: Mapping[str, bytes] | None = None
        self._webinars: Sequence[Webinar] = ()
        self._wanted = Wanted({}, Layout("", {}), ())
        self._proposed: Mapping[Key, str] = {}  # the folder's texts that count as sound
        self._adopted_at: datetime | None = None
        self._layout_lags = self._texts_lag = False
        self._newest = 0, 0

    @property
    def sources(self) -> Mapping[Key, str]:
        """The folder's texts."""
        return self._wanted.sources

    async def changed(self, now: datetime) -> bool:
        """Whether other revisions govern than were read last, stored here or elsewhere, or trials have results."""
        if self.trials.news and (
            not self.trials.busy
            or self._undecided()
            or self._adopted_at is None
            or now >= self._adopted_at + ADOPT_EVERY
        ):
            return True
        return await self._database.run(self._governs_other, now)

    def _governs_other(self, conn: Connection, now: datetime) -> bool:
        mark_running(conn, self._holder)
        if self._layout_lags or self._texts_lag:
            propose_layout(conn, now, self._holder, self._sound_layout)
            propose_texts(conn, now, self._holder, self._proposed)
        return newest_revisions(conn) != self._newest

    async def absorb(
        self, now: datetime, files: Mapping[str, bytes] | None, webinars: Sequence[Webinar]
    ) -> None:
        """Propose the files of the folder (None: it did not answer yet) that are known to be sound, and read what
        governs then. The others are tried."""
        if files is None:
            files, self._sound_layout, self.layout_problems = {}, None, ()
        else:  # in a thread: the layout may be large
            found = await asyncio.to_thread(sound_layout, files, self._root)
            self._sound_layout, self.layout_problems = found
        self.layout, self._layout_lags, self._newest = await self._database.run(self._propose_layout, now)
        if self.layout is None:
            self.trials.clear()
            return
        await self._want(sources_of(files), webinars, self.layout)
        await self.trials.request(now, self._wanted)
        if self._waits:
            await self.trials.until_idle()
        await self._adopt(now, is_empty=not files)

    async def until_any(self) -> None:
        """If no text governs yet, wait up to FIRST_SECONDS until each is tried with one webinar."""
        if self.texts.current or self.layout is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                while self._undecided() and self.trials.busy and not self.trials.trouble:
                    await self.trials.until_progress()

    def _undecided(self) -> set[Key]:
        """The texts of which nothing governs and no trial with a webinar has finished."""
        lacking = self.sources.keys() - self.texts.current.keys() - self.texts.problems.keys()
        if not lacking:
            return set()
        tried = ((pair, KNOWN.get(pair.digest)) for pair in self._wanted.pairs if pair.key in lacking)
        return lacking - {pair.key for pair, found in tried if found or (pair.webinar and found is not None)}

    async def _want(self, sources: Mapping[Key, str], webinars: Sequence[Webinar], layout: Layout) -> None:
        before = self._wanted
        if (before.sources, self._webinars, before.layout) != (sources, webinars, layout):
            pairs = await asyncio.to_thread(pairs_of, sources, webinars, layout)
            nobody_waits = self.texts.current and not self._waits
            niceness = NICENESS if nobody_waits else 0
            self._wanted, self._webinars = Wanted(sources, layout, pairs, niceness), webinars

    async def _adopt(self, now: datetime, *, is_empty: bool) -> None:
        await self.trials.collect(now)
        self.verdicts = verdicts_of(self._wanted.pairs, KNOWN, self._root, self.verdicts)
        texts, self._proposed, self._texts_lag, newest = await self._database.run(self._propose_texts, now)
        # An empty folder is one problem, not one for each text.
        self.texts = replace(texts, problems={}) if is_empty else texts
        self._newest = self._newest[0], newest[1]
        self._adopted_at = now

    def _propose_layout(self, conn: Connection, now: datetime) -> tuple[Layout | None, bool, tuple[int, int]]:
        lags = propose_layout(conn, now, self._holder, self._sound_layout)
        return read_governing_layout(conn, self._root), lags, newest_revisions(conn)

    def _propose_texts(
        self, conn: Connection, now: datetime
    ) -> tuple[Texts, Mapping[Key, str], bool, tuple[int, int]]:
        sound = self._count_as_sound(conn)
        lags = propose_texts(conn, now, self._holder, sound)
        texts = read_governing_texts(
            conn, self._root, self._wanted.layout, self.sources, self.verdicts, self._webinars
        )
        return texts, sound, lags, newest_revisions(conn)

    def _count_as_sound(self, conn: Connection) -> dict[Key, str]:
        """The folder's sound texts, and those to be tried again: an edited webinar or layout removes no text."""
        governs = {name: one.sha256 for name, one in governing_texts(conn).items()}
        again = {
            key
            for key in self.verdicts.untried - self.verdicts.problems.keys()
            if self._proposed.get(key) == self.sources[key]
            or governs.get(name_of(key)) == digest(self.sources[key])
        }
        return {key: self.sources[key] for key in (*self.verdicts.sound, *again)}


def newest_revisions(conn: Connection) -> tuple[int, int]:
    """The newest revisions of the layout and of a text. While these stay the same, nothing else governs."""
    query = (
        "SELECT (SELECT max(id) FROM layout_revision) AS layout, (SELECT max(id) FROM text_revision) AS text"
    )
    row = execute(conn, query).one()
    return row.layout or 0, row.text or 0
