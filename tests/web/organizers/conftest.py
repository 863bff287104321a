"""An editor over a folder of texts, without a service around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from scheduler.database.engine import Database
from scheduler.governing.folder import Folder
from scheduler.governing.governor import TEXT_FILES
from scheduler.governing.layouts import sound_layout
from scheduler.governing.texts import sources_of
from scheduler.mail.text.layout import Layout, layout_of
from scheduler.mail.texts import Key
from scheduler.problem import Problem
from scheduler.web import accounts
from scheduler.web.context import Desk, Sight
from scheduler.web.organizers.app import EditorApp
from scheduler.web.organizers.trial import Trier
from scheduler.webinar.model import Webinar
from tests.support import copy_texts, utc, webinar

NOW = utc("2025-06-20 08:00")
HOST = "127.0.0.1:8090"
PASSWORD = "four words make one"


class Moment:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self):
        return self.at


@dataclass
class Room:
    """The editor, what it works on, and what it sent."""

    root: Path
    database: Database
    trier: Trier
    clock: Moment = field(default_factory=Moment)
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    refusal: str | Exception = ""
    layout: Layout | None = None
    problems: dict[Key, tuple[Problem, ...]] = field(default_factory=dict)
    current: set[Key] = field(default_factory=lambda: {("confirmation", "en")})
    webinars: dict[str, Webinar] = field(default_factory=lambda: {"w": webinar()})

    def __post_init__(self) -> None:
        self.editor = EditorApp(
            Desk(
                self.root,
                self.database,
                self.clock,
                lambda: self.look(),  # noqa: PLW0108 (a test may replace it)
                lambda sight: self.problems,
                self._send,
            ),
            {HOST},
            self.trier,
        )

    def look(self) -> Sight:
        files = Folder(self.root, TEXT_FILES).read()
        ours, problems = sound_layout(files, self.root)
        layout = self.layout or (layout_of(ours, self.root) if ours else None)
        return Sight(self.webinars, sources_of(files), self.current, layout, problems)

    async def _send(self, of: Webinar, address: str, mail: bytes) -> str:
        if isinstance(self.refusal, Exception):
            raise self.refusal
        self.sent.append((address, mail))
        return self.refusal

    def account(self, address: str = "ada@who.int", role: accounts.Role = "edit") -> str:
        with self.database.transaction() as conn:
            accounts.save_account(conn, self.clock.at, address, PASSWORD, role)
        return address

    @asynccontextmanager
    async def browser(self, address: str = "") -> AsyncIterator[httpx.AsyncClient]:
        """Signed in as `address`, if one is given."""
        transport = httpx.ASGITransport(self.editor.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            if address:
                answer = await client.post(
                    "/templates/sign-in", data={"address": address, "password": PASSWORD}
                )
                assert answer.status_code == 303, answer.text
            yield client

    def csrf(self, client: httpx.AsyncClient) -> str:
        return accounts.Editor("", "edit", client.cookies["session"]).csrf

    def file(self, message: str = "confirmation", language: str = "en") -> Path:
        return self.root / message / f"{language}.md"

    def later(self, **spent: float) -> None:
        self.clock.at += timedelta(**spent)


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.Runner]:
    """One loop for all: the child that tries texts takes most of a second to start, and belongs to its loop."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def trier(loop: asyncio.Runner) -> Iterator[Trier]:
    trier = Trier()
    yield trier
    loop.run(trier.stop())


@pytest.fixture
def room(tmp_path: Path, sqlite_url: str, trier: Trier) -> Iterator[Room]:
    database = Database(sqlite_url)
    root = tmp_path / "templates"
    copy_texts(root, "en", "fr")
    yield Room(root, database, trier)
    database.close()
