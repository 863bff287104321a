"""Who may do what at the editor: browsers that are signed in, pages of ours alone, and not too many tries."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from hmac import compare_digest

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler.editor.accounts import Editor
from scheduler.web.server import adding

TRIES, WITHIN = 5, 900.0
"""So many wrong passwords for one address, and five times as many from one computer, in so many seconds."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
SHOWN = "/templates/shown/"
"""Below it are the mails in their frames."""


class Guard:
    """Answers only under the names that the service has (a page elsewhere may give any name this address), and adds the
    headers that keep what a mail or a registrant says from doing anything."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        """`hosts`: as in `Host`, with the port but for the usual one; more may be added."""
        self.app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        host = Headers(scope=scope).get("host", "").lower()
        if host not in self._hosts:
            names = ", ".join(sorted(self._hosts))
            refusal = PlainTextResponse(f"This is not the name of the editor. It is at: {names}\n", 421)
            await refusal(scope, receive, send)
            return
        policy = MAIL_POLICY if scope["path"].startswith(SHOWN) else PAGE_POLICY
        added = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]

        await self.app(scope, receive, adding(added, send))


def is_from_here(request: Request) -> bool:
    """Whether no page of another site asks (RFC 6454, 7)."""
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")


def is_ours(request: Request, editor: Editor, token: str) -> bool:
    """Whether a request that changes something comes from a page that this editor was given."""
    return is_from_here(request) and compare_digest(token.encode(), editor.csrf.encode())


class Tries:
    """Wrong passwords, counted by whose they are and where they come from."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, deque[float]] = {}

    def too_many(self, address: str, computer: str) -> bool:
        """Whether no more are taken for now."""
        return self._count(f"a {address}") >= TRIES or self._count(f"c {computer}") >= 5 * TRIES

    def failed(self, address: str, computer: str) -> None:
        """One more."""
        for key in (f"a {address}", f"c {computer}"):
            self._failed.setdefault(key, deque(maxlen=5 * TRIES)).append(self._clock())
        if len(self._failed) > 10_000:  # of an attack that makes addresses up
            self._failed = {key: times for key, times in self._failed.items() if self._count(key)}

    def _count(self, key: str) -> int:
        times = self._failed.get(key)
        while times and times[0] < self._clock() - WITHIN:
            times.popleft()
        return len(times) if times else 0
