"""Access tokens for AUTH XOAUTH2: fetched over HTTPS, kept until shortly before they end (RFC 6749)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import structlog

from scheduler.aside import Aside
from scheduler.input.relay_settings import OAuthSettings
from scheduler.redaction import keep_secret, keep_token, redact
from scheduler.state_dir import StateDir, StateLock

log = structlog.get_logger()

EARLY = 60.0  # seconds before its end at which a token is renewed
LIFE = 3600.0  # seconds, where the endpoint does not say: as long as Google's and Microsoft's
LONGEST_LIFE = 24 * 3600.0  # seconds, whatever the endpoint says
LONGEST_WAIT = 30.0  # seconds for an answer; connections that need a token wait meanwhile
SHORT_WAIT = 5.0  # seconds, while the token in hand is still good
TURN_SHARE = 2 / 3  # of these: for other services that share STATE_DIR to end what they ask
AGAIN_AFTER = 15.0  # seconds after a renewal that failed, while the token in hand is still good
LONGEST_TOKEN = 16_384  # characters: to look for a longer one in all that is logged takes too long
LONGEST_ANSWER = 65_536  # bytes; Microsoft's have some 3,000

ENDED = (
    "the refresh token has ended, was revoked, or was replaced when another service used it: set a new one, and let all"
    " services share one STATE_DIR"
)
_FOR_NOW = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
# RFC 6749, 5.2; RFC 8628, 3.5; Microsoft's and Google's own. Whatever else an endpoint says there is not repeated.
_CODES = frozenset({
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope", "access_denied", "temporarily_unavailable", "server_error", "invalid_resource",
    "interaction_required", "consent_required", "login_required", "slow_down", "expired_token",
    "admin_policy_enforced", "deleted_client", "org_internal",
})  # fmt: skip


class NoToken(Exception):
    """Why there is no token, in words that are safe to log; `replies` tells a refusal from a failure by them."""


class Tokens:
    """The token of one account, for all its connections."""

    def __init__(
        self, settings: OAuthSettings, ca_file: str | None = None, state: StateDir | None = None
    ) -> None:
        """`ca_file` (PEM): authorities that may vouch for the endpoint, besides the system's. `state` keeps a refresh
        token that the endpoint renewed."""
        self.trouble = ""
        """What is wrong though there is a token, in words that are safe to show."""
        self._settings = settings
        self._context = _context(ca_file)
        self._refresh_token = RefreshToken(state)
        self._lock = StateLock(state) if state else None
        self._exchanging: asyncio.Task[str] | None = None
        self._files = Aside("STATE_DIR", SHORT_WAIT)
        self._one_by_one = asyncio.Lock()
        self._token, self._accepted = "", False
        self._renew_at, self._ends_at = 0.0, 0.0  # on the loop's clock
        self._failure, self._failed_at = "", 0.0
        keep_secret(settings.client_secret, settings.refresh_token)

    def use(self, settings: OAuthSettings, ca_file: str | None, *, new_authorities: bool) -> None:
        """Go by these from now on. The token in hand is used until one that comes from them takes its place."""
        if settings != self._settings:
            self._renew_at = 0.0
        self._settings = settings
        keep_secret(settings.client_secret, settings.refresh_token)
        if new_authorities:
            self._context = _context(ca_file)

    async def current(self) -> str:
        """A token that is valid now. Raises NoToken."""
        asked_at = asyncio.get_running_loop().time()
        async with self._one_by_one:
            now = asyncio.get_running_loop().time()
            if self._token and now < self._ends_at:
                if now >= self._renew_at:
                    await self._renew(asked_at)
            else:
                await self._fetch(asked_at, LONGEST_WAIT)
            return self._token

    @property
    def seconds_left(self) -> float:
        """Until the token ends."""
        return self._ends_at - asyncio.get_running_loop().time()

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
                await self._fetch(asked_at, LONGEST_WAIT)
            return self._token

    async def _renew(self, asked_at: float) -> None:
        """Another one in the place of one that is still good, and stays so where none is to be had."""
        try:
            await self._fetch(asked_at, SHORT_WAIT, urgent=False)
        except NoToken as failure:
            self._renew_at = asyncio.get_running_loop().time() + AGAIN_AFTER
            self.trouble = f"the access token in hand is used while there is no other: {failure}"
            log.warning("no new access token", reason=str(failure))

    async def _fetch(self, asked_at: float, within: float, *, urgent: bool = True) -> None:
        if self._failed_at > asked_at:  # while we waited for it
            raise NoToken(self._failure)
        if self._exchanging is None or self._exchanging.done():
            self._exchanging = asyncio.create_task(self._exchange(within, urgent))
        if failure := await asyncio.shield(self._exchanging):
            raise NoToken(failure)

    async def _exchange(self, within: float, urgent: bool) -> str:
        """To its end, whoever waits for it: a refresh token that was used may count no more. Returns why there is no
        token, or ""."""
        configured, end = self._settings.refresh_token, asyncio.get_running_loop().time() + within
        try:
            async with self._turn(configured, within * TURN_SHARE, urgent):
                refresh_token = await self._kept(configured)
                left = end - asyncio.get_running_loop().time()
                status, answer = await self._ask(refresh_token, max(left, within * (1 - TURN_SHARE)))
                self._take(status, answer, refresh_token)
                self.trouble = ""
                renewed = answer.get("refresh_token")  # RFC 6749, 6: it replaces the one that we have
                if configured and isinstance(renewed, str) and renewed not in ("", refresh_token):
                    keep_token(renewed)
                    self.trouble = await self._keep(configured, renewed)
        except NoToken as failure:
            self._failure, self._failed_at = str(failure), asyncio.get_running_loop().time()
            return self._failure
        return ""

    @asynccontextmanager
    async def _turn(self, configured: str, seconds: float, urgent: bool) -> AsyncIterator[None]:
        """Of services that share STATE_DIR one asks at a time: an endpoint may take each refresh token once. Who needs
        a token now asks after so many seconds all the same: the other may have been stopped. Raises NoToken."""
        if self._lock is None or not configured:
            yield
            return
        async with self._lock.held(f"{_stem(_digest(configured))}.lock", seconds) as ours:
            if ours is False and not urgent:
                raise NoToken("another service with this STATE_DIR is asking for one")
            if not ours:
                log.warning("refresh token used without its lock", held_by_another=ours is False)
            yield

    async def _kept(self, configured: str) -> str:
        try:
            return await self._files.run(lambda: self._refresh_token.instead_of(configured))
        except OSError as error:
            raise NoToken(f"the refresh token in STATE_DIR can't be read: {_reason(error)}") from None

    async def _keep(self, configured: str, renewed: str) -> str:
        """Returns what is wrong, or ""."""
        try:
            return await self._files.run(lambda: self._refresh_token.renew(configured, renewed))
        except OSError as error:
            return f"a renewed refresh token cannot be kept in STATE_DIR ({_reason(error)}), and a restart loses it"

    def _take(self, status: int, answer: dict[str, Any], refresh_token: str) -> None:
        token = answer.get("access_token")
        if any(len(str(answer.get(name))) > LONGEST_TOKEN for name in ("access_token", "refresh_token")):
            raise NoToken("the token endpoint's answer holds a token that is too long")
        if isinstance(token, str):
            keep_token(token)
        if status != HTTPStatus.OK:
            raise NoToken(_refusal(status, answer, refresh_token))
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise NoToken("the token endpoint's answer holds no token")
        now = asyncio.get_running_loop().time()
        self._ends_at = now + _life(answer.get("expires_in"))
        self._renew_at = self._ends_at - EARLY
        self._token, self._accepted = token, False

    async def _ask(self, refresh_token: str, within: float) -> tuple[int, dict[str, Any]]:
        import httpx  # slow to import, and only few services need it

        settings = self._settings
        form = {
            "grant_type": "refresh_token" if refresh_token else "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "refresh_token": refresh_token,
            "scope": settings.scope,
        }
        given = {name: value for name, value in form.items() if value}
        # As it comes: a small answer that is compressed may be a very large one.
        plain = {"Accept": "application/json", "Accept-Encoding": "identity"}
        body = b""
        try:
            async with (
                asyncio.timeout(within),
                httpx.AsyncClient(verify=self._context, timeout=within) as client,
                client.stream("POST", settings.token_url, data=given, headers=plain) as response,
            ):
                async for some in response.aiter_raw():
                    body += some
                    if len(body) > LONGEST_ANSWER:
                        raise NoToken("the token endpoint's answer is too long")
        except (httpx.HTTPError, OSError) as error:
            raise NoToken(f"the token endpoint does not answer: {_why(error)}") from None
        except (httpx.InvalidURL, ValueError, ImportError):  # whose words may hold the proxy's password
            words = "its address, or that of the proxy in the environment, can't be used"
            raise NoToken(f"the token endpoint does not answer: {words}") from None
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        return response.status_code, answer if isinstance(answer, dict) else {}


class RefreshToken:
    """The refresh token that an endpoint gave in the place of the configured one, kept in a file of STATE_DIR.

    It counts for that configured one alone, which is known by a digest: an operator who sets another one wins.
    """

    def __init__(self, state: StateDir | None) -> None:
        self._state = state
        self._renewed: dict[
            str, str
        ] = {}  # by the digest of the configured one; what could not be kept in the file

    def instead_of(self, configured: str) -> str:
        """What to send where this one is configured. Another service that shares the folder may have renewed it. Raises
        OSError."""
        if not configured:
            return ""
        digest = _digest(configured)
        renewed = self._renewed.get(digest) or self._kept(digest) or configured
        if renewed != configured:
            keep_token(renewed)
        return renewed

    def renew(self, configured: str, renewed: str) -> str:
        """Use this one from now on. Returns what is wrong, or ""."""
        digest = _digest(configured)
        self._renewed[digest] = renewed
        content = json.dumps({"instead_of": digest, "refresh_token": renewed}).encode()
        try:
            if self._state:
                self._state.write(_file(digest), content)
                self._renewed.pop(digest, None)
                return ""
        except OSError as error:
            why = _reason(error)
            log.error("refresh token not kept", reason=why)
            return f"a renewed refresh token cannot be kept in STATE_DIR ({why}), and a restart loses it"
        return ""

    def _kept(self, digest: str) -> str:
        try:
            content = self._state.read(_file(digest)) if self._state else None
            kept = json.loads(content) if content else {}
        except (NotADirectoryError, ValueError, RecursionError):  # nothing of ours is there
            return ""
        renewed = kept.get("refresh_token") if isinstance(kept, dict) else None
        return renewed if isinstance(renewed, str) and kept.get("instead_of") == digest else ""


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _digest(configured: str) -> str:
    return hashlib.sha256(configured.encode("utf-8", "surrogatepass")).hexdigest()


def _stem(digest: str) -> str:
    return f"refresh-token-{digest[:16]}"


def _file(digest: str) -> str:
    return f"{_stem(digest)}.json"


def _context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def _life(said: object) -> float:
    """Seconds for which a token is good, by `expires_in`, which some endpoints send as text."""
    try:
        life = float(said)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return LIFE
    return min(life, LONGEST_LIFE) if 0 < life < math.inf else LIFE


def _why(error: Exception) -> str:
    """Of a fault of HTTP only its kind: the endpoint's own words may repeat what it was sent."""
    import httpx

    if isinstance(error, httpx.ProtocolError | httpx.DecodingError):
        return "what it says is not HTTP"
    return redact(str(error)) or type(error).__name__


def _refusal(status: int, answer: dict[str, Any], refresh_token: str) -> str:
    """Named by the codes of RFC 6749, 5.2, and of Microsoft; never by a description, which may quote names."""
    said = answer.get("error")
    code = said if isinstance(said, str) and said in _CODES else f"HTTP status {status}"
    found = re.match(r"AADSTS\d{1,9}(?!\d)", str(answer.get("error_description", "")))
    words = f"{code} ({found[0]})" if found else code
    for_now = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _FOR_NOW
    if for_now or code in ("temporarily_unavailable", "server_error"):
        return f"the token endpoint fails for now: {words}"
    if code == "invalid_grant" and refresh_token:
        words = f"{words}: {ENDED}"
    return f"the token endpoint refuses: {words}"
