"""What the editor works on: a folder of texts, the webinars that use them, and a database for who did what."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scheduler.clock import Clock
from scheduler.database.engine import Database
from scheduler.editor.accounts import Editor
from scheduler.mail.layout import Layout
from scheduler.mail.names import LONGEST
from scheduler.mail.pairs import Key
from scheduler.organizers.folder import Folder
from scheduler.organizers.sources import TEXT_FILES
from scheduler.organizers.texts import keys_of, sources_of
from scheduler.problem import Problem
from scheduler.reports.previewing import Reader, made_up, registered
from scheduler.timezones import registrant_zone
from scheduler.webinar import NOTICES, Webinar

MOST_SHOWN = 100  # mails kept for their frames
LONG_NAME = "Maria-Alejandra Wolfeschlegelsteinhausenbergerdorff de la Santísima Trinidad y Todos los Santos"[
    :LONGEST
]


@dataclass
class Desk:
    """`layout`: the one that goes around the texts; raises Problems where there is none. `send`: a mail of this webinar
    to this address, or why not. `everybody`: who works here where nobody signs in."""

    root: Path
    database: Database
    clock: Clock
    webinars: Callable[[], Mapping[str, Webinar]]
    problems: Callable[[], Mapping[Key, tuple[Problem, ...]]]
    live: Callable[[], Container[Key]]
    layout: Callable[[], Layout]
    send: Callable[[Webinar, str, bytes], Awaitable[str]] | None = None
    everybody: Editor | None = None
    https: bool = False
    shown: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def sources(self) -> dict[Key, str]:
        """The texts as the files hold them now."""
        return sources_of(Folder(self.root, TEXT_FILES).read())

    def openable(self) -> set[Key]:
        """Every text that may be opened: those that are there, and those that a webinar lacks."""
        return keys_of(self.webinars().values()) | set(self.sources())

    def users_of(self, message: str) -> list[Webinar]:
        """The webinars that send this message, or else all: a text may be written before it is used."""
        all_ = list(self.webinars().values())
        return [one for one in all_ if message in one.message_ids or message in NOTICES] or all_

    async def reader(self, webinar: Webinar, language: str, wanted: Mapping[str, str]) -> Reader:
        """As whom the mail is looked at. Raises NotRegistered, UnknownZone."""
        reader = made_up(webinar)
        if address := wanted.get("registrant", "").strip():
            reader = await self.database.run(registered, webinar, address)
        if zone := wanted.get("zone", "").strip():
            reader = reader.in_zone(registrant_zone(zone))
        name = {"long": LONG_NAME, "none": ""}.get(wanted.get("name", ""), reader.name)
        known_by = "assumed" if wanted.get("assumed") else reader.zone_known_by
        return replace(reader, language=language, name=name, zone_known_by=known_by)

    def show(self, html: str) -> str:
        """Keep a mail for its frame; returns under which number."""
        number = secrets.token_urlsafe(12)
        self.shown[number] = html
        while len(self.shown) > MOST_SHOWN:
            self.shown.popitem(last=False)
        return number
