"""Reads what governs, beside the texts in the folder, for a process that only reads the service's database."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import NamedTuple

from sqlalchemy import Connection

from scheduler.database.engine import Database, execute
from scheduler.governing.folder import Folder
from scheduler.governing.governor import TEXT_FILES
from scheduler.governing.layouts import read_governing_layout, sound_layout
from scheduler.governing.revisions import Revisions
from scheduler.governing.templates import newest_revisions
from scheduler.governing.texts import folder_problems, sources_of
from scheduler.governing.verdicts import read_verdicts
from scheduler.mail.text.layout import Layout, layout_of
from scheduler.mail.texts import Key
from scheduler.mail.trial.pairs import Pair, pairs_of, untried, verdicts_of
from scheduler.mail.trial.runner import KNOWN, remember, trim_known
from scheduler.problem import Problem
from scheduler.web.context import Sight
from scheduler.webinar.model import Webinar


class _Stored(NamedTuple):
    """Contents of the database."""

    webinars: dict[str, Webinar]
    texts: frozenset[Key]
    layout: Layout | None


class Governs:
    """Reads repeatedly; computes again only what has changed."""

    def __init__(self, root: Path, database: Database) -> None:
        self._database, self._folder = database, Folder(root, TEXT_FILES)
        self._revisions = Revisions()
        self._one_by_one = Lock()
        self._layout: tuple[int, Layout | None] = 0, None  # by its newest revision
        self._texts: tuple[int, frozenset[Key]] = 0, frozenset()
        self._pairs: tuple[object, list[Pair]] = (), []

    def look(self) -> Sight:
        """The present state. Blocks; raises DBAPIError."""
        with self._one_by_one:
            files = self._folder.read()
            root, sources = self._folder.root, sources_of(files)
            with self._database.reading() as conn:
                stored = self._stored(conn)
            layout, problems = stored.layout, tuple[Problem, ...]()
            if layout is None:
                ours, problems = sound_layout(files, root)
                layout = layout_of(ours, root) if ours else None
            return Sight(stored.webinars, sources, stored.texts, layout, problems)

    def _stored(self, conn: Connection) -> _Stored:
        webinars = {name: one.webinar for name, one in self._revisions.governing(conn).items()}
        layout, text = newest_revisions(conn)
        if self._layout[0] != layout:
            self._layout = layout, read_governing_layout(conn, self._folder.root)
        if self._texts[0] != text:
            stored = execute(conn, "SELECT DISTINCT message, language FROM text_revision")
            self._texts = text, frozenset((one.message, one.language) for one in stored)
        return _Stored(webinars, self._texts[1], self._layout[1])

    def problems(self, sight: Sight) -> dict[Key, tuple[Problem, ...]]:
        """The mistakes in the folder's texts, by the service's verdicts. Blocks; raises DBAPIError."""
        if sight.layout is None or not sight.sources:
            return {}
        webinars = list(sight.webinars.values())
        with self._one_by_one:
            around = sight.sources, webinars, sight.layout
            if self._pairs[0] != around:
                self._pairs = around, pairs_of(*around)
                trim_known(pair.digest for pair in self._pairs[1])
            pairs = self._pairs[1]
            if left := untried(pairs, KNOWN):
                with self._database.reading() as conn:
                    remember(read_verdicts(conn, [pair.digest for pair in left]))
        verdicts = verdicts_of(pairs, KNOWN, self._folder.root)
        return folder_problems(self._folder.root, sight.current, sight.sources, verdicts, webinars)
