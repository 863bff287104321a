"""Who may do what at the editor: browsers that are signed in, pages of ours alone, and not too many tries."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler.editor import accounts
from scheduler.editor.accounts import Editor
from scheduler.web.server import adding

WITHIN = 900.0
"""Seconds in which no more than so many passwords are tried:"""
OF_BOTH, OF_NETWORK, OF_ADDRESS, OF_BROWSER = 5, 25, 50, 10
"""for one address from one network, from one network, for one address, and from one browser that is known."""
MOST_KNOWN = 10_000
MOST_HASHES = 10

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

    def __init__(self, app: ASGIApp, hosts: Collection[str], https: Callable[[], bool]) -> None:
        """`hosts`: as in `Host`, with the port but for the usual one; more may be added. `https`: whether browsers
        reach it by https alone."""
        self.app, self._hosts, self._https = app, hosts, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        host = Headers(scope=scope).get("host", "").lower()
        if (host.removesuffix(":443") if self._https() else host) not in self._hosts:
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
            *([(b"strict-transport-security", b"max-age=31536000")] if self._https() else []),  # RFC 6797
        ]

        await self.app(scope, receive, adding(added, send))


def is_from_here(request: Request) -> bool:
    """Whether no page of another site asks (RFC 6454, 7)."""
    origin = request.headers.get("origin")
    if origin is None:
        return True
    scheme, _, origin_host = origin.partition("://")
    host = request.headers.get("host", "").lower()
    return origin_host == (host.removesuffix(":443") if scheme == "https" else host)


def is_ours(request: Request, editor: Editor, token: str) -> bool:
    """Whether a request that changes something comes from a page that this editor was given."""
    return is_from_here(request) and compare_digest(token.encode(), editor.csrf.encode())


def network_of(computer: str) -> str:
    """The network of an IP address, as far as one person may have addresses at will: 64 bits of IPv6 (RFC 6177), all of
    IPv4."""
    try:
        address = ip_address(computer)
    except ValueError:
        return computer
    if address.version == 6 and (mapped := address.ipv4_mapped):
        return str(mapped)
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else computer


class Tries:
    """Passwords that are tried, counted before they are looked at: of many that come at once no more are tried than one
    after the other.

    Nobody can lock an editor out for long by failing in their name: a browser that they signed in from before is
    counted by itself (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tried: dict[str, deque[float]] = {}
        self._tidy_beyond = MOST_KNOWN

    def begin(self, address: str, network: str, browser: str = "") -> Try | None:
        """Count one more; None: no more are taken for now. `browser`: of one that is known."""
        if browser:
            limits = {f"b {browser}": OF_BROWSER}
        else:
            limits = {
                f"p {network} {address}": OF_BOTH,
                f"n {network}": OF_NETWORK,
                f"a {address}": OF_ADDRESS,
            }
        if any(self._count(key) >= most for key, most in limits.items()):
            return None
        now = self._clock()
        for key, most in limits.items():
            self._tried.setdefault(key, deque(maxlen=most)).append(now)
        if len(self._tried) > self._tidy_beyond:  # of an attack that makes addresses up
            for known in [key for key in self._tried if not self._count(key)]:
                del self._tried[known]
            self._tidy_beyond = max(MOST_KNOWN, 2 * len(self._tried))
        return Try(self._tried, tuple(limits), now)

    def _count(self, key: str) -> int:
        times = self._tried.get(key)
        while times and times[0] < self._clock() - WITHIN:
            times.popleft()
        return len(times) if times else 0


@dataclass(frozen=True)
class Try:
    """One password that is tried."""

    _tried: dict[str, deque[float]]
    _keys: tuple[str, ...]
    _at: float

    def fitted(self) -> None:
        """It was right: it does not count."""
        for key in self._keys:
            if (times := self._tried.get(key)) and self._at in times:
                times.remove(self._at)


class Hashing:
    """Compares passwords with hashes, which takes 50 ms and 19 MiB each: one at a time, and a few that wait."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, "password")
        self._waiting = 0

    async def fits(self, password: str, password_hash: str) -> bool | None:
        """Whether this is the password; None: too many wait."""
        if self._waiting >= MOST_HASHES:
            return None
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, accounts.fits, password, password_hash)
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
