"""The folder of texts beside what governs: proposes what is sound in it, reads the rows by which mails are written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from scheduler.database.engine import Database, run
from scheduler.mail.layout import Layout
from scheduler.mail.soundness import check_texts
from scheduler.organizers.layouts import propose_layout, read_governing_layout, sound_layout
from scheduler.organizers.proposals import stay
from scheduler.organizers.texts import Key, Texts, propose_texts, read_governing_texts, sources_of
from scheduler.problem import Problem
from scheduler.webinar import Webinar


@dataclass(frozen=True)
class _Trial:
    """Texts that were tried, and what is wrong with each."""

    sources: Mapping[Key, str]
    webinars: Sequence[Webinar]
    layout: Layout
    problems: Mapping[Key, tuple[Problem, ...]]

    @property
    def sound(self) -> dict[Key, str]:
        return {key: source for key, source in self.sources.items() if not self.problems.get(key)}


class Templates:
    """The texts and the layout that govern, and what is wrong with the folder."""

    def __init__(self, root: Path, database: Database, holder: int) -> None:
        """`holder`: the number of this service among replicas."""
        self.texts = Texts()
        self.layout: Layout | None = None
        """None: there never was a sound one, and nothing can go out."""
        self.layout_problems: tuple[Problem, ...] = ()
        self._root, self._database, self._holder = root, database, holder
        self._sound_layout: Mapping[str, bytes] | None = None
        self._trial = _Trial({}, (), Layout("", {}), {})
        self._layout_lags = self._texts_lag = False
        self._newest = 0, 0

    @property
    def sources(self) -> Mapping[Key, str]:
        """The texts of the folder, as they were tried last."""
        return self._trial.sources

    async def moved(self, now: datetime) -> bool:
        """Whether something else governs than was read last: another service stored it, or ours has come to govern."""
        return await self._database.run(self._moved, now)

    def _moved(self, conn: Connection, now: datetime) -> bool:
        stay(conn, self._holder)
        if self._layout_lags or self._texts_lag:
            propose_layout(conn, now, self._holder, self._sound_layout)
            propose_texts(conn, now, self._holder, self._trial.sound)
        return _newest(conn) != self._newest

    async def take(self, now: datetime, files: Mapping[str, bytes], webinars: Sequence[Webinar]) -> None:
        """Propose what is sound among the files of the folder, and read what governs then."""
        self._sound_layout, self.layout_problems = sound_layout(files, self._root)
        self.layout, self._layout_lags, self._newest = await self._database.run(self._take_layout, now)
        if self.layout is None:
            return
        await asyncio.to_thread(self._try, sources_of(files), webinars, self.layout)
        texts, self._texts_lag, newest = await self._database.run(self._take_texts, now)
        # Of an empty folder one problem is told, not one of each text.
        self.texts = texts if files else replace(texts, problems={})
        self._newest = self._newest[0], newest[1]

    def _take_layout(self, conn: Connection, now: datetime) -> tuple[Layout | None, bool, tuple[int, int]]:
        lags = propose_layout(conn, now, self._holder, self._sound_layout)
        return read_governing_layout(conn, self._root), lags, _newest(conn)

    def _try(self, sources: Mapping[Key, str], webinars: Sequence[Webinar], layout: Layout) -> None:
        """Try the texts, where they, their webinars or the layout have changed: it takes a second."""
        before = self._trial
        if (before.sources, before.webinars, before.layout) != (sources, webinars, layout):
            problems = check_texts(sources, webinars, self._root, layout)
            self._trial = _Trial(sources, webinars, layout, problems)

    def _take_texts(self, conn: Connection, now: datetime) -> tuple[Texts, bool, tuple[int, int]]:
        trial = self._trial
        lags = propose_texts(conn, now, self._holder, trial.sound)
        texts = read_governing_texts(
            conn, self._root, trial.layout, trial.sources, trial.problems, trial.webinars
        )
        return texts, lags, _newest(conn)


def _newest(conn: Connection) -> tuple[int, int]:
    """The newest revision of the layout and of a text: while they are, nothing else governs."""
    query = (
        "SELECT (SELECT max(id) FROM layout_revision) AS layout, (SELECT max(id) FROM text_revision) AS text"
    )
    row = run(conn, query).one()
    return row.layout or 0, row.text or 0
