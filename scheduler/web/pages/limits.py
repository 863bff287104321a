"""Limits on what one network or one registrant may ask of the pages, in memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request

from scheduler.http.counts import Counts, count_key
from scheduler.http.networks import networks_of

WITHIN = 900.0
"""Seconds for which requests are counted. The limits of a network, and of the wider ones around it (`networks_of`):"""
UNKNOWN = (100, 200, 400)  # keys that nobody has: mistyped, forgotten, guessed
POSTS = (600, 1200, 2400)  # forms of pages; a whole organization may be behind one address
REGISTRATIONS = (150, 300, 600)  # forms of new registrants; fewer, since each may cause a mail
OF_KEY = 60  # forms of one registrant


class PageLimits:
    """Counts requests. Whoever has a key is never refused a page for what others do."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts = Counts(WITHIN, clock)

    def unknown_key(self, request: Request) -> None:
        """Count a key that nobody has. Raises HTTPException 429."""
        self._count(_networks("unknown", request, UNKNOWN))

    def form(self, request: Request) -> None:
        """Count a form that comes without a key. Raises HTTPException 429."""
        self._count(_networks("form", request, POSTS))

    def registration(self, request: Request) -> None:
        """Count a registration by the form. Raises HTTPException 429."""
        self._count(_networks("registration", request, REGISTRATIONS))

    def form_of(self, request: Request, key: str) -> None:
        """Count a form of the registrant with this key. Raises HTTPException 429."""
        self._count(_networks("form", request, POSTS) | {count_key("key", key): OF_KEY})

    def one_click(self, key: str) -> None:
        """Count a one-click unsubscription, which a mailbox provider sends from its own network for all of its users.
        Raises HTTPException 429."""
        self._count({count_key("key", key): OF_KEY})

    def own_data(self, token: str) -> None:
        """Count a look at what is held, which goes through whole tables, by a mailed link. Raises HTTPException 429."""
        self._count({count_key("data", token): OF_KEY})

    def _count(self, limits: dict[bytes, int]) -> None:
        if self._counts.begin(limits) is None:
            raise HTTPException(429, headers={"retry-after": str(int(WITHIN))})


def _networks(what: str, request: Request, limits: tuple[int, ...]) -> dict[bytes, int]:
    networks = networks_of(request.client.host if request.client else "")
    return {count_key(what, network): most for network, most in zip(networks, limits, strict=False)}
