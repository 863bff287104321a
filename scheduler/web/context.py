"""The editor's context: the folder of texts, what governs, and the reader for whom mails are shown."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scheduler.aside import Aside
from scheduler.clock import Clock
from scheduler.database.engine import Database
from scheduler.governing.texts import keys_of
from scheduler.mail.text.layout import Layout
from scheduler.mail.texts import Key
from scheduler.mail.words.names import LONGEST
from scheduler.mail.writing.sample import Reader, sample_reader
from scheduler.problem import Problem
from scheduler.reports.previewing import registered
from scheduler.web.accounts import Editor
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import registrant_zone

FILE_SECONDS, FILES_AT_ONCE = 10.0, 4
MOST_SHOWN, MOST_SHOWN_CHARACTERS = 100, 2_000_000
"""Mails kept for their frames."""
LONG_NAME = "Maria-Alejandra Wolfeschlegelsteinhausenbergerdorff de la Santísima Trinidad y Todos los Santos"[
    :LONGEST
]


@dataclass(frozen=True)
class Sight:
    """The texts in the folder, and what governs, at one moment."""

    webinars: Mapping[str, Webinar]
    sources: Mapping[Key, str]
    current: Collection[Key]
    """The texts of which a sound version can go out."""
    layout: Layout | None
    layout_problems: tuple[Problem, ...] = ()
    """Where there is no layout: why."""

    def openable(self) -> set[Key]:
        """The keys of all texts that may be opened: existing ones, and those that a webinar lacks."""
        return keys_of(self.webinars.values()) | set(self.sources)

    def users_of(self, text: str) -> list[Webinar]:
        """The webinars that send this text, the next to begin first; all of them where none does, as a text may be
        written before it is used."""
        all_ = sorted(self.webinars.values(), key=lambda one: (one.start, one.id))
        return [one for one in all_ if text in one.text_names] or all_


@dataclass
class Desk:
    """The parts that pages work with. `look` reads the folder and the database, `problems` returns the mistakes of its
    texts; both block. `send` sends a mail of this webinar to this address and returns why it failed, or "".
    `everybody`: the editor where nobody signs in. `pages_url`: where registrants reach their pages, or ""."""

    root: Path
    database: Database
    clock: Clock
    look: Callable[[], Sight]
    problems: Callable[[Sight], Mapping[Key, tuple[Problem, ...]]]
    send: Callable[[Webinar, str, bytes], Awaitable[str]] | None = None
    everybody: Editor | None = None
    https: bool = False
    pages_url: str = ""
    files: Aside = field(default_factory=lambda: Aside("the folder of texts", FILE_SECONDS, FILES_AT_ONCE))
    shown: OrderedDict[str, str] = field(default_factory=OrderedDict)

    @property
    def rehearsed(self) -> bool:
        """Whether this is the editor beside a rehearsal."""
        return self.everybody is not None

    async def sight(self) -> Sight:
        """The present state. Raises Hangs."""
        return await self.files.run(self.look)

    async def reader(self, webinar: Webinar, language: str, wanted: Mapping[str, str]) -> Reader:
        """The reader for whom a mail is shown. Raises NotRegistered, UnknownZone."""
        reader = sample_reader(webinar)
        if address := wanted.get("registrant", "").strip():
            reader = await self.database.run_reading(registered, webinar, address)
        if zone := wanted.get("zone", "").strip():
            reader = reader.in_zone(registrant_zone(zone))
        name = {"long": LONG_NAME, "none": ""}.get(wanted.get("name", ""), reader.name)
        known_by = "assumed" if wanted.get("assumed") else reader.zone_known_by
        return replace(reader, language=language, name=name, zone_known_by=known_by)

    def show(self, html: str) -> str:
        """Keep a mail for its frame; returns its number."""
        number = secrets.token_urlsafe(12)
        self.shown[number] = html
        while len(self.shown) > MOST_SHOWN or sum(map(len, self.shown.values())) > MOST_SHOWN_CHARACTERS:
            self.shown.popitem(last=False)
        return number
