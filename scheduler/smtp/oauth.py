"""Access tokens for AUTH XOAUTH2: fetched over HTTPS and kept until shortly before they expire (RFC 6749)."""

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

EARLY = 60.0  # seconds before it expires that a token is renewed
LIFE = 3600.0  # seconds of a token without `expires_in`: as long as Google's and Microsoft's
LONGEST_LIFE = 24 * 3600.0  # seconds, whatever `expires_in` says
LONGEST_WAIT = 30.0  # seconds for a response; connections that need a token wait during it
SHORT_WAIT = 5.0  # the same while the present token is still valid
TURN_SHARE = 2 / 3  # the part of these for which other services that share STATE_DIR are waited for
AGAIN_AFTER = 15.0  # seconds after a failed renewal, while the present token is still valid
LONGEST_TOKEN = 16_384  # characters: to search all logs for a longer one takes too long
LONGEST_ANSWER = 65_536  # bytes; Microsoft's responses have about 3,000

ENDED = (
    "the refresh token has expired, was revoked, or was replaced when another service used it: set a new one, and let"
    " all services share one STATE_DIR"
)
_TEMPORARY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
# RFC 6749, 5.2; RFC 8628, 3.5; Microsoft's and Google's own. Other values of `error` are not shown.
_CODES = frozenset({
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope", "access_denied", "temporarily_unavailable", "server_error", "invalid_resource",
    "interaction_required", "consent_required", "login_required", "slow_down", "expired_token",
    "admin_policy_enforced", "deleted_client", "org_internal",
})  # fmt: skip


class NoToken(Exception):
    """No token is available. The words are safe to log; `replies` recognizes a refusal by them."""


class Tokens:
    """The access token of one account, shared by all its connections."""

    def __init__(
        self, settings: OAuthSettings, ca_file: str | None = None, state: StateDir | None = None
    ) -> None:
        """`ca_file` (PEM): trusted authorities for the endpoint, besides the system's. `state`: where a renewed refresh
        token is stored."""
        self.trouble = ""
        """A problem that does not prevent sign-ins yet, in words that are safe to show."""
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
        """Use these settings from now on; the present token stays until one from these settings replaces it."""
        if settings != self._settings:
            self._renew_at = 0.0
        self._settings = settings
        keep_secret(settings.client_secret, settings.refresh_token)
        if new_authorities:
            self._context = _context(ca_file)

    async def current(self) -> str:
        """Return a token that is valid now. Raises NoToken."""
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
        """Seconds until the token expires."""
        return self._ends_at - asyncio.get_running_loop().time()

    def accepted(self, token: str) -> None:
        """Note that the relay accepted this token."""
        self._accepted = self._accepted or token == self._token

    async def replace(self, refused: str) -> str | None:
        """Return another token; None if the refused one is the newest and was never accepted. Raises NoToken."""
        asked_at = asyncio.get_running_loop().time()
        async with self._one_by_one:
            if refused == self._token:
                if not self._accepted:
                    return None
                await self._fetch(asked_at, LONGEST_WAIT)
            return self._token

    async def _renew(self, asked_at: float) -> None:
        """Try to replace a token that is still valid; keep it if that fails."""
        try:
            await self._fetch(asked_at, SHORT_WAIT, urgent=False)
        except NoToken as failure:
            self._renew_at = asyncio.get_running_loop().time() + AGAIN_AFTER
            self.trouble = f"the access token could not be renewed, and is used until it expires: {failure}"
            log.warning("access token not renewed", reason=str(failure))

    async def _fetch(self, asked_at: float, within: float, *, urgent: bool = True) -> None:
        if self._failed_at > asked_at:  # for another connection, while this one waited
            raise NoToken(self._failure)
        if self._exchanging is None or self._exchanging.done():
            self._exchanging = asyncio.create_task(self._exchange(within, urgent))
        if failure := await asyncio.shield(self._exchanging):
            raise NoToken(failure)

    async def _exchange(self, within: float, urgent: bool) -> str:
        """Get a token from the endpoint. It is never cancelled, because a refresh token that was used may be invalid
        afterwards. Returns why there is no token, or ""."""
        configured, end = self._settings.refresh_token, asyncio.get_running_loop().time() + within
        try:
            async with self._turn(configured, within * TURN_SHARE, urgent):
                refresh_token = await self._stored(configured)
                left = end - asyncio.get_running_loop().time()
                status, answer = await self._request(refresh_token, max(left, within * (1 - TURN_SHARE)))
                self._use_answer(status, answer, refresh_token)
                self.trouble = ""
                renewed = answer.get("refresh_token")  # RFC 6749, 6: it replaces the present one
                if configured and isinstance(renewed, str) and renewed not in ("", refresh_token):
                    keep_token(renewed)
                    self.trouble = await self._store(configured, renewed)
        except NoToken as failure:
            self._failure, self._failed_at = str(failure), asyncio.get_running_loop().time()
            return self._failure
        return ""

    @asynccontextmanager
    async def _turn(self, configured: str, seconds: float, urgent: bool) -> AsyncIterator[None]:
        """Exclude other services that share STATE_DIR, as an endpoint may accept each refresh token once. `urgent`:
        after `seconds` go on without the lock, because the other service may have been stopped. Raises NoToken."""
        if self._lock is None or not configured:
            yield
            return
        async with self._lock.held(f"{_stem(_digest(configured))}.lock", seconds) as ours:
            if ours is False and not urgent:
                raise NoToken("another service with this STATE_DIR is renewing it")
            if not ours:
                log.warning("refresh token used without its lock", held_by_another=ours is False)
            yield

    async def _stored(self, configured: str) -> str:
        try:
            return await self._files.run(lambda: self._refresh_token.current(configured))
        except OSError as error:
            raise NoToken(f"the refresh token in STATE_DIR can't be read: {_reason(error)}") from None

    async def _store(self, configured: str, renewed: str) -> str:
        """Store a renewed refresh token. Returns the problem, or ""."""
        try:
            return await self._files.run(lambda: self._refresh_token.renew(configured, renewed))
        except OSError as error:
            return _not_stored(error)

    def _use_answer(self, status: int, answer: dict[str, Any], refresh_token: str) -> None:
        """Use the token of this response from now on. Raises NoToken."""
        token = answer.get("access_token")
        if any(len(str(answer.get(name))) > LONGEST_TOKEN for name in ("access_token", "refresh_token")):
            raise NoToken("the token endpoint's response has a token that is too long")
        if isinstance(token, str):
            keep_token(token)
        if status != HTTPStatus.OK:
            raise NoToken(_refusal(status, answer, refresh_token))
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise NoToken("the token endpoint's response has no token")
        now = asyncio.get_running_loop().time()
        self._ends_at = now + _life(answer.get("expires_in"))
        self._renew_at = self._ends_at - EARLY
        self._token, self._accepted = token, False

    async def _request(self, refresh_token: str, within: float) -> tuple[int, dict[str, Any]]:
        """The status and the JSON object of the endpoint's response. Raises NoToken."""
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
        # Uncompressed: a small compressed response may expand to a very large one.
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
                        raise NoToken("the token endpoint's response is too long")
        except (httpx.HTTPError, OSError) as error:
            raise NoToken(f"the token endpoint does not answer: {_why(error)}") from None
        except (httpx.InvalidURL, ValueError, ImportError):  # their words may contain the proxy's password
            words = "its address, or that of the proxy in the environment, can't be used"
            raise NoToken(f"the token endpoint does not answer: {words}") from None
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        return response.status_code, answer if isinstance(answer, dict) else {}


class RefreshToken:
    """The refresh token by which an endpoint replaced the configured one, stored in a file of STATE_DIR.

    The file has a digest of the configured one and counts only for it: an operator who sets another one wins.
    """

    def __init__(self, state: StateDir | None) -> None:
        self._state = state
        self._renewed: dict[str, str] = {}  # by the digest of the configured one; could not be stored

    def current(self, configured: str) -> str:
        """The token to send, if this one is configured: another service that shares the folder may have renewed it.
        Raises OSError."""
        if not configured:
            return ""
        digest = _digest(configured)
        renewed = self._renewed.get(digest) or self._stored(digest) or configured
        if renewed != configured:
            keep_token(renewed)
        return renewed

    def renew(self, configured: str, renewed: str) -> str:
        """Use `renewed` from now on, and store it. Returns the problem, or ""."""
        digest = _digest(configured)
        self._renewed[digest] = renewed
        content = json.dumps({"instead_of": digest, "refresh_token": renewed}).encode()
        try:
            if self._state:
                self._state.write(_file(digest), content)
                self._renewed.pop(digest, None)
                return ""
        except OSError as error:
            log.error("refresh token not stored", reason=_reason(error))
            return _not_stored(error)
        return ""

    def _stored(self, digest: str) -> str:
        try:
            content = self._state.read(_file(digest)) if self._state else None
            kept = json.loads(content) if content else {}
        except (NotADirectoryError, ValueError, RecursionError):  # not a file of ours
            return ""
        renewed = kept.get("refresh_token") if isinstance(kept, dict) else None
        return renewed if isinstance(renewed, str) and kept.get("instead_of") == digest else ""


def _not_stored(error: OSError) -> str:
    return f"a renewed refresh token cannot be stored in STATE_DIR ({_reason(error)}); a restart loses it"


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
    """The lifetime of a token in seconds, by `expires_in`, which some endpoints send as text."""
    try:
        life = float(said)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return LIFE
    return min(life, LONGEST_LIFE) if 0 < life < math.inf else LIFE


def _why(error: Exception) -> str:
    """The words of an error; of an HTTP error only its kind, as the endpoint's words may repeat secrets."""
    import httpx

    if isinstance(error, httpx.ProtocolError | httpx.DecodingError):
        return "the response is not HTTP"
    return redact(str(error)) or type(error).__name__


def _refusal(status: int, answer: dict[str, Any], refresh_token: str) -> str:
    """A refusal in words: the error codes of RFC 6749, 5.2, and Microsoft, not the description, which may quote
    names."""
    said = answer.get("error")
    code = said if isinstance(said, str) and said in _CODES else f"HTTP status {status}"
    found = re.match(r"AADSTS\d{1,9}(?!\d)", str(answer.get("error_description", "")))
    words = f"{code} ({found[0]})" if found else code
    is_temporary = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TEMPORARY
    if is_temporary or code in ("temporarily_unavailable", "server_error"):
        return f"the token endpoint fails temporarily: {words}"
    if code == "invalid_grant" and refresh_token:
        words = f"{words}: {ENDED}"
    return f"the token endpoint refuses: {words}"
