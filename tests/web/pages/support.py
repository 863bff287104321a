"""The registrants' pages over a database, without a service around them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import pytest
from sqlmodel import SQLModel

from scheduler.database.engine import Database
from scheduler.web.pages.app import pages_app
from scheduler.web.pages.context import Pages
from tests.support import Ledger, utc, webinar

NOW = utc("2025-06-20 08:00")


class Moment:
    """A clock that a test moves."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


@dataclass
class Site:
    """The pages of one webinar, "w", and its registrants."""

    database: Database
    url: str = "https://webinars.who.int"
    clock: Moment = field(default_factory=Moment)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.database)
        self.ledger.govern(webinar())
        self.pages = Pages(
            self.database,
            self.clock,
            lambda: self.ledger.governing,
            self.url,
            revisions=self.ledger.revisions,
        )
        self.app = pages_app(self.pages)

    def register(self, email: str = "maya@who.int", **columns: Any) -> str:
        """Register somebody, plan them, and return the key of their page."""
        self.ledger.register(email, **columns)
        self.ledger.plan(self.clock.at)
        return self.key_of(email)

    def key_of(self, email: str) -> str:
        return str(self.ledger.sql("SELECT key FROM registration WHERE address = :email", email=email)[0][0])

    def ask(self, method: str, path: str, computer: str = "192.0.2.1", **given: Any) -> httpx.Response:
        """The answer to one request, in a loop of its own: a browser of the test may have another."""

        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(computer, 1))
            async with httpx.AsyncClient(transport=transport, base_url=self.url) as client:
                return await client.request(method, path, **given)

        with ThreadPoolExecutor(1) as beside:
            return beside.submit(lambda: asyncio.run(answer())).result()

    def get(self, path: str, language: str = "en", **headers: str) -> httpx.Response:
        return self.ask("GET", path, headers={"accept-language": language} | headers)

    def post(self, path: str, data: Mapping[str, str] | None = None, **given: Any) -> httpx.Response:
        return self.ask("POST", path, data=data, **given)

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every table."""
        return {
            name: sorted((tuple(row) for row in self.ledger.sql(f"SELECT * FROM {name}")), key=repr)
            for name in SQLModel.metadata.tables
        }


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)
