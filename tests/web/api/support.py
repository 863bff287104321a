"""Calls of the API with a key of its webinar."""

from __future__ import annotations

from typing import Any

import httpx

from scheduler.web.api import keys
from tests.web.pages.support import NOW, Site

PEOPLE = "/api/webinars/w/registrants"
MAYA = f"{PEOPLE}/maya@who.int"


def key_of(site: Site, webinar: str = "w", name: str = "crm") -> str:
    with site.database.transaction() as conn:
        key = keys.add(conn, NOW, name, webinar)
    assert key
    return key


class Api:
    """A system that has a key."""

    def __init__(self, site: Site, key: str = "") -> None:
        self.site, self.key = site, key or key_of(site)

    def call(self, method: str, path: str = MAYA, said: Any = None, **given: Any) -> httpx.Response:
        return self.site.ask(
            method,
            path,
            headers={"authorization": f"Bearer {self.key}"},
            **({} if said is None else {"json": said}),
            **given,
        )

    def put(self, path: str = MAYA, **said: Any) -> httpx.Response:
        return self.call("PUT", path, said)

    def get(self, path: str = MAYA) -> httpx.Response:
        return self.call("GET", path)

    def post(self, *rows: dict[str, Any]) -> httpx.Response:
        return self.call("POST", PEOPLE, {"registrants": rows})
