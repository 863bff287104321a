"""A webinar with a source, pulled as the command does it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.pulling import pull
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


class Exports(Pulled):
    """A CSV that another program writes, a while ago."""

    def __init__(self, database: Database, folder: Path, more: str = "", **changed: Any) -> None:
        super().__init__(database, f'path = "people.csv"\n{more}', folder, **changed)
        self.file = folder / "people.csv"

    def write(self, content: str | bytes, *, age: float = 3600) -> None:
        self.file.write_bytes(content if isinstance(content, bytes) else content.encode())
        at = self.file.stat().st_mtime - age
        os.utime(self.file, (at, at))

    def before_writing(self, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> list[object]:
        """Let something happen once the next pull has read and compared, and has not yet written. What it was."""
        write, happened = pull.write_people, list[object]()

        def first(*given: Any) -> None:
            monkeypatch.setattr(pull, "write_people", write)
            happened.append(happens())
            write(*given)

        monkeypatch.setattr(pull, "write_people", first)
        return happened


def rows(*people: str, header: str = "email,name") -> str:
    """A CSV. People are written "ana@example.org,Ana"."""
    return "".join(f"{line}\n" for line in (header, *people))


def many(count: int, first: int = 0) -> list[str]:
    return [f"p{number}@example.org,P {number}" for number in range(first, first + count)]
