"""Limits on what one network or one registrant may ask of the pages, in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

from starlette.exceptions import HTTPException
from starlette.requests import Request

from scheduler.http.counts import Counts, count_key
from scheduler.http.networks import networks_of

WITHIN = 900.0
"""Seconds for which requests are counted. The limits of a network, and of the wider ones around it (`networks_of`):"""
UNKNOWN = (100, 200, 400)  # keys that nobody has: mistyped, forgotten, guessed
REGISTRATIONS = (150, 300, 600)  # forms of new registrants; fewer, since each may cause a mail
OF_KEY = 60  # forms of one registrant, and looks at what is held by one link


class PageLimits:
    """Counts requests. Whoever has a key is never refused anything for what others do: each kind is counted apart, and
    keys that exist always find room, since there are no more of them than registrations and links."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._unknown, self._registrations = Counts(WITHIN, clock), Counts(WITHIN, clock)
        self._known = Counts(WITHIN, clock, most=inf)

    def unknown_key(self, request: Request) -> None:
        """Count a key that nobody has. Raises HTTPException 429."""
        _count(self._unknown, _networks(request, UNKNOWN))

    def registration(self, request: Request) -> None:
        """Count a registration by the form. Raises HTTPException 429."""
        _count(self._registrations, _networks(request, REGISTRATIONS))

    def form_of(self, key: str) -> None:
        """Count a form of the registrant with this key, or of whoever has this link, which exists: by the key alone,
        since a mailbox provider sends the one-click unsubscriptions of all of its users from its own network. Raises
        HTTPException 429."""
        _count(self._known, {count_key("key", key): OF_KEY})

    def own_data(self, token: str) -> None:
        """Count a look at what is held, which goes through whole tables, by a mailed link. Raises HTTPException 429."""
        _count(self._known, {count_key("data", token): OF_KEY})


def _count(counts: Counts, limits: dict[bytes, int]) -> None:
    if counts.begin(limits) is None:
        raise HTTPException(429, headers={"retry-after": str(int(WITHIN))})


def _networks(request: Request, limits: tuple[int, ...]) -> dict[bytes, int]:
    networks = networks_of(request.client.host if request.client else "")
    return {count_key(network): most for network, most in zip(networks, limits, strict=False)}
