"""Access tokens for AUTH XOAUTH2: fetched over HTTPS, kept until shortly before they end (RFC 6749)."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

EARLY = 60.0  # seconds before its end at which a token is no longer used
LIFE = 3600.0  # seconds, where the endpoint does not say: as long as Google's and Microsoft's
LONGEST_WAIT = 30.0  # seconds for an answer; connections that need a token wait meanwhile

_FOR_NOW = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True)
class OAuthSettings:
    """Where tokens come from. With a refresh token they are for the mailbox whose owner allowed it (RFC 6749, 6),
    without one for the client itself (4.4)."""

    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    scope: str = ""


class NoToken(Exception):
    """Why there is no token, in words that are safe to log; `replies` tells a refusal from a failure by them."""


class Tokens:
    """The token of one account, for all its connections."""

    def __init__(self, settings: OAuthSettings, ca_file: str | None = None) -> None:
        """`ca_file` (PEM): authorities that may vouch for the endpoint, besides the system's."""
        self._settings = settings
        self._context = ssl.create_default_context()
        if ca_file:
            self._context.load_verify_locations(ca_file)
        self._refresh_token = settings.refresh_token
        self._one_by_one = asyncio.Lock()
        self._token, self._accepted, self._until = "", False, 0.0
        self._failure, self._failed_at = "", 0.0

    async def current(self) -> str:
        """A token that is valid for a while. Raises NoToken."""
        asked_at = asyncio.get_running_loop().time()
        async with self._one_by_one:
            if not self._token or asyncio.get_running_loop().time() >= self._until:
                await self._fetch(asked_at)
            return self._token

    def accepted(self, token: str) -> None:
        """The relay took it."""
        self._accepted = self._accepted or token == self._token

    async def instead_of(self, refused: str) -> str | None:
        """Another token to try; None where the refused one is the newest and was never accepted. Raises NoToken."""
        asked_at = asyncio.get_running_loop().time()
        async with self._one_by_one:
            if refused == self._token:
                if not self._accepted:
                    return None
                await self._fetch(asked_at)
            return self._token

    async def _fetch(self, asked_at: float) -> None:
        if self._failed_at > asked_at:  # while we waited for it
            raise NoToken(self._failure)
        try:
            status, answer = await self._ask()
            self._take(status, answer)
        except NoToken as failure:
            self._failure, self._failed_at = str(failure), asyncio.get_running_loop().time()
            raise

    def _take(self, status: int, answer: dict[str, Any]) -> None:
        if status != HTTPStatus.OK:
            raise NoToken(_refusal(status, answer))
        token = answer.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise NoToken("the token endpoint's answer holds no token")
        try:
            life = float(answer["expires_in"])
        except (KeyError, TypeError, ValueError):
            life = LIFE
        self._until = asyncio.get_running_loop().time() + life - EARLY
        self._token, self._accepted = token, False
        renewed = answer.get("refresh_token")  # RFC 6749, 6: it replaces the one that we have
        if self._refresh_token and isinstance(renewed, str):
            self._refresh_token = renewed

    async def _ask(self) -> tuple[int, dict[str, Any]]:
        import httpx  # slow to import, and only few services need it

        settings = self._settings
        form = {
            "grant_type": "refresh_token" if self._refresh_token else "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "refresh_token": self._refresh_token,
            "scope": settings.scope,
        }
        try:
            async with asyncio.timeout(LONGEST_WAIT), httpx.AsyncClient(verify=self._context) as client:
                given = {name: value for name, value in form.items() if value}
                response = await client.post(settings.token_url, data=given, timeout=LONGEST_WAIT)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            why = str(error) or type(error).__name__
            raise NoToken(f"the token endpoint does not answer: {why}") from None
        try:
            answer = response.json()
        except ValueError:
            answer = None
        return response.status_code, answer if isinstance(answer, dict) else {}


def _refusal(status: int, answer: dict[str, Any]) -> str:
    """Named by the codes of RFC 6749, 5.2, and of Microsoft; never by a description, which may quote names."""
    named = re.fullmatch(r"[a-z_]{1,40}", str(answer.get("error", "")))
    code = named[0] if named else f"HTTP status {status}"
    found = re.match(r"AADSTS\d+", str(answer.get("error_description", "")))
    words = f"{code} ({found[0]})" if found else code
    for_now = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _FOR_NOW
    if for_now or code in ("temporarily_unavailable", "server_error"):
        return f"the token endpoint fails for now: {words}"
    return f"the token endpoint refuses: {words}"
