"""A webinar with a source, pulled as the command does it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from scheduler.database.engine import Database
from scheduler.pulling.pull import Pull, PullReport
from scheduler.pulling.reading import Access
from scheduler.registrants import sources
from scheduler.registrants.sources import SourceState
from scheduler.webinar.model import Webinar
from tests.support import SEQUENCE, Ledger, utc, webinar

ANA, BO, CY = "ana@example.org", "bo@example.org", "cy@example.org"
NOW = utc("2025-06-12 08:00")


def sourced(source: str, **changed: Any) -> Webinar:
    """A webinar whose file has this below [source]."""
    return webinar(f"{SEQUENCE}\n[source]\n{source}\n", **changed)


class Pulled:
    """A source, and what becomes of `registrants` by it."""

    def __init__(
        self,
        database: Database,
        source: str,
        folder: Path | None = None,
        environ: Mapping[str, str] | None = None,
        hosts: tuple[str, ...] = (),
        **changed: Any,
    ) -> None:
        self.database, self.webinar = database, sourced(source, **changed)
        self.access = Access(folder, hosts, environ or {})
        self.ledger = Ledger(database)
        self.now: datetime = NOW

    def pull(self, *, accept: bool = False) -> PullReport:
        """Once, five minutes after the last time."""
        self.now += timedelta(minutes=5)
        run = self.database.in_transaction(lambda conn: sources.begin(conn, self.now, self.webinar.id))
        assert run
        return Pull(self.database, self.webinar, self.access, self.now, accept, look_again=0).follow(run)

    def look(self) -> PullReport:
        return Pull(self.database, self.webinar, self.access, self.now, look_again=0).look()

    @property
    def people(self) -> dict[str, str]:
        """The names in `registrants`, by address."""
        return dict(self.ledger.sql("SELECT email, coalesce(name, '') FROM registrants ORDER BY email"))

    @property
    def standing(self) -> SourceState:
        with self.database.reading() as conn:
            return sources.states(conn)[self.webinar.id]


def rows(*people: str, header: str = "email,name") -> str:
    """A CSV. People are written "ana@example.org,Ana"."""
    return "".join(f"{line}\n" for line in (header, *people))


def many(count: int, first: int = 0) -> list[str]:
    return [f"p{number}@example.org,P {number}" for number in range(first, first + count)]
