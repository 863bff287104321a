"""What the registrants' pages work with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from scheduler.clock import Clock
from scheduler.database.engine import Database
from scheduler.governing.revisions import Revisions
from scheduler.ledger.planning import Governing
from scheduler.web.pages.limits import PageLimits


class Current:
    """Reads which revisions of webinars govern; parses only those that changed."""

    def __init__(self, database: Database) -> None:
        self._database, self._revisions, self._one_by_one = database, Revisions(), Lock()

    def webinars(self) -> Mapping[str, Governing]:
        """The governing revisions by webinar. Blocks; raises DBAPIError."""
        with self._one_by_one, self._database.reading() as conn:
            return self._revisions.governing(conn)


@dataclass
class Pages:
    """The parts that pages work with.

    `webinars` reads what governs, and blocks. `url`: where registrants reach the pages ("https://webinars.who.int"),
    without a slash at the end. `revisions`: to read webinars that have ended. Mails go through the outbox.
    """

    database: Database
    clock: Clock
    webinars: Callable[[], Mapping[str, Governing]]
    url: str
    limits: PageLimits = field(default_factory=PageLimits)
    revisions: Revisions = field(default_factory=Revisions)

    async def governing(self, webinar: str) -> Governing | None:
        """The revision of a webinar that governs, or that governed until it ended: its people are kept longer. Raises
        DBAPIError."""
        found = (await asyncio.to_thread(self.webinars)).get(webinar)
        return found or await self.database.run_reading(self.revisions.last, webinar)
