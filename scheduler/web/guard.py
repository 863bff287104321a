"""Protection of the editor: host names, security headers, same-origin checks, and limits on password attempts."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from hmac import compare_digest
from math import inf
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler.http.counts import MOST_COUNTS, Counted, Counts, count_key
from scheduler.http.networks import networks_of
from scheduler.http.server import adding
from scheduler.web import accounts
from scheduler.web.accounts import Editor

WITHIN = 900.0
"""Seconds for which attempts are counted. The limits:"""
OF_BOTH, OF_NETWORKS, OF_ADDRESS, OF_BROWSER = 5, (25, 50, 100), 50, 10
"""attempts for one address from one network; from one network (and the wider ones around it, `networks_of`); for one
address; and from one known browser."""
MOST_WAITING = 10  # passwords in each queue

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
SHOWN = "/templates/shown/"
"""The path of mails in their frames."""


class Guard:
    """Answers only under the service's own names, against DNS rebinding, and adds headers that keep the content of a
    mail from running scripts."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], https: Callable[[], bool]) -> None:
        """`hosts`: as in `Host`, with the port unless it is the default; more may be added later. `https`: whether
        browsers reach it by https alone."""
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
        added = [
            (b"content-security-policy", _policy_of(scope["path"]).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
            *([(b"strict-transport-security", b"max-age=31536000")] if self._https() else []),  # RFC 6797
        ]

        await self.app(scope, receive, adding(added, send))


def _policy_of(path: str) -> str:
    if path.startswith(SHOWN):
        return MAIL_POLICY
    return PICTURE_POLICY if path.endswith(".svg") else PAGE_POLICY  # a picture has its own style


def is_same_origin(request: Request) -> bool:
    """Whether a request comes from no other site's page (RFC 6454, section 7)."""
    origin = request.headers.get("origin")
    if origin is None:
        return True
    scheme, _, origin_host = origin.partition("://")
    host = request.headers.get("host", "").lower()
    return origin_host == (host.removesuffix(":443") if scheme == "https" else host)


def is_ours(request: Request, editor: Editor, token: str) -> bool:
    """Whether a request that changes something comes from a page of this editor's session."""
    return is_same_origin(request) and compare_digest(token.encode(), editor.csrf.encode())


class Attempts:
    """Password attempts, counted before they are checked, so that parallel attempts have the same limit. A count lasts
    15 minutes from its first attempt.

    Nobody can lock an editor out for long by failing in their name: a browser in which they signed in before has a
    count of its own (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"). Nor can many networks fill the
    memory: once there is no room for more counts, only known browsers are let in.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts = Counts(WITHIN, clock)

    def begin(self, address: str, computer: str, browser: str = "") -> Counted | None:
        """Count an attempt; None: no more are allowed for now. `computer`: its IP address. `browser`: the id of a
        known one."""
        if browser:
            return self._counts.begin({count_key("browser", browser): OF_BROWSER}, most=inf)
        return self._counts.begin(_limits(address, computer), MOST_COUNTS)


def _limits(address: str, computer: str) -> dict[bytes, int]:
    networks = networks_of(computer)
    return {
        count_key("both", networks[0], address): OF_BOTH,
        **{count_key("network", one): most for one, most in zip(networks, OF_NETWORKS, strict=False)},
        count_key("address", address): OF_ADDRESS,
    }


class Hashing:
    """Compares passwords with hashes one at a time, since each takes 50 ms and 19 MiB. Only a few may wait. Known
    browsers have a queue of their own, which goes first, so that no flood of guesses keeps them out."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, "password")
        self._known, self._others = deque[_Waiting](), deque[_Waiting]()
        self._comparing: asyncio.Task[None] | None = None
        self._stopped = False

    async def fits(self, password: str, password_hash: str, *, known: bool) -> bool | None:
        """Whether this is the password; None: not compared, as too many wait. `known`: whether the browser is
        known."""
        queue = self._known if known else self._others
        if self._stopped or len(queue) >= MOST_WAITING:
            return None
        waiting = _Waiting(password, password_hash, asyncio.get_running_loop().create_future())
        queue.append(waiting)
        if self._comparing is None or self._comparing.done():
            self._comparing = asyncio.create_task(self._compare())
        return await waiting.answer

    async def _compare(self) -> None:
        """Compare until both queues are empty."""
        loop = asyncio.get_running_loop()
        while queue := self._known or self._others:
            password, password_hash, answer = queue.popleft()
            if answer.done():  # the client is gone
                continue
            try:
                fits = await loop.run_in_executor(
                    self._threads, accounts.verify_password, password, password_hash
                )
            except Exception as error:
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(fits)

    def stop(self) -> None:
        """Compare no more passwords after the current one."""
        self._stopped = True
        for queue in (self._known, self._others):
            while queue:
                if not (answer := queue.popleft().answer).done():
                    answer.set_result(None)
        self._threads.shutdown(wait=False)


class _Waiting(NamedTuple):
    password: str
    password_hash: str
    answer: asyncio.Future[bool | None]
