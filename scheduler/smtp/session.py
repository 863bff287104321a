"""Opens a connection to a relay with aiosmtplib, secures it by TLS and signs in.

`plain` sends mails through `command` and `content`; `pipeline` takes the transport over.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from time import time
from typing import Any

import aiosmtplib
from aiosmtplib import SMTPException, SMTPResponse, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.esmtp import parse_esmtp_extensions

from scheduler import metrics
from scheduler.input.relay_settings import RelaySettings
from scheduler.smtp.failures import Doubtful, Refused, Unreachable, unreachable
from scheduler.smtp.oauth import NoToken, Tokens
from scheduler.smtp.replies import Reply, Stage, read_reply


class Session:
    """One secured connection. A command that ends without a reply, or is cancelled, closes it."""

    def __init__(
        self,
        settings: RelaySettings,
        context: ssl.SSLContext | None,
        tokens: Tokens | None = None,
        seen: set[str] | None = None,
    ) -> None:
        """`tokens`: for XOAUTH2, shared by all sessions of an account. `seen`: the extensions that any machine behind
        the relay's name has offered, shared by all its sessions."""
        self._settings, self._tokens = settings, tokens
        self._seen = set() if seen is None else seen
        self._smtp = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            timeout=None,  # `_step` has its own: aiosmtplib's `wait_for` can swallow a cancellation (Python 3.11)
            use_tls=settings.tls == "implicit",
            start_tls=False,
            tls_context=context,
            local_hostname="localhost",
        )
        self.transport: asyncio.BaseTransport | None = None
        self.mails = 0  # mails that were begun over this connection
        self._extensions: dict[str, str] = {}
        self._auth_methods: list[str] = []

    async def open(
        self, client_name: str, turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    ) -> None:
        """Connect, secure and sign in, the last within a `turn`. Raises Refused or Unreachable, with the stage at which
        it failed."""
        smtp = self._smtp
        try:
            await self._step("connect", smtp.connect())
            smtp.local_hostname = client_name or _address_literal(self._info("ehlo", "sockname")[0])
            await self._hello()
            if self._settings.tls == "starttls":
                if not self.offers("STARTTLS"):
                    raise unreachable("starttls", "the relay does not offer STARTTLS; nothing was sent to it")
                await self._step("starttls", smtp.starttls())
                await self._hello()  # RFC 3207, 4.2: forget all that was learned before TLS
            metrics.secured(self._settings.name, self.transport)
            if self._settings.username:
                async with turn():
                    await self._sign_in()
        except BaseException:
            self.abort()
            raise

    async def _step(self, stage: Stage, action: Awaitable[SMTPResponse]) -> SMTPResponse:
        try:
            async with asyncio.timeout(self._settings.timeout):
                response = await action
        except SMTPResponseException as error:
            if error.code // 100 in (4, 5):
                raise Refused(read_reply(stage, error.code, error.message)) from None
            # A reply to AUTH may repeat the secrets that were sent.
            raise unreachable(stage, "not an SMTP reply" if stage == "auth" else _why(error)) from None
        except (SMTPException, OSError, UnicodeError) as error:
            raise unreachable(stage, _why(error)) from None
        self.transport = self._smtp.transport
        if self._unpaired:
            raise unreachable(stage, "a reply to no command")
        return response

    def _info(self, stage: Stage, key: str) -> Any:
        if self.transport is None:
            raise unreachable(stage, "Connection lost")
        return self.transport.get_extra_info(key)

    async def _hello(self) -> None:
        # Stored here, because aiosmtplib forgets the extensions when a connection breaks.
        response = await self._step("ehlo", self._smtp.ehlo())
        self._extensions, self._auth_methods = parse_esmtp_extensions(response.message)
        self._seen.update(self._extensions)

    async def _sign_in(self) -> None:
        """Sign in over TLS; without TLS only to this machine."""
        in_tls = self._info("auth", "sslcontext") is not None
        if not in_tls and not _is_loopback(self._info("auth", "peername")[0]):
            raise unreachable("auth", "a password is never sent in the clear: use STARTTLS or implicit TLS")
        if self._tokens:
            await self._sign_in_by_token(self._tokens)
        else:
            await self._sign_in_by_password()

    def _offered(self, *mechanisms: str) -> list[str]:
        """Those of these mechanisms that the relay offers. Raises Unreachable if it offers none."""
        found = [one for one in mechanisms if one.lower() in self._auth_methods]
        if not found:
            offered = " ".join(self._auth_methods).upper() or "none"
            wanted = " or ".join(mechanisms)
            raise unreachable("auth", f"the relay does not offer AUTH {wanted} (it has: {offered})")
        return found

    async def _sign_in_by_password(self) -> None:
        """AUTH PLAIN or LOGIN, as offered (RFC 4954)."""
        smtp, settings = self._smtp, self._settings
        offered = self._offered("PLAIN", "LOGIN")
        for mechanism in offered:
            action = smtp.auth_plain if mechanism == "PLAIN" else smtp.auth_login
            try:
                await self._step("auth", action(settings.username, settings.password))
            except Refused as refusal:
                # RFC 4954, 4: 504 is about the mechanism. Repeating after any other refusal could lock us out.
                if refusal.reply.code != 504 or mechanism == offered[-1]:
                    raise
            else:
                return

    async def _sign_in_by_token(self, tokens: Tokens) -> None:
        """AUTH XOAUTH2. If a token that was accepted before is refused, it may have been revoked: one new token is
        tried."""
        self._offered("XOAUTH2")
        smtp, username = self._smtp, self._settings.username
        try:
            token = await tokens.current()
            try:
                await self._step("auth", smtp.auth_xoauth2(username, token))
            except Refused as refusal:
                another = await tokens.replace(token) if refusal.reply.code == 535 else None
                if another is None:
                    raise
                token = another
                await self._step("auth", smtp.auth_xoauth2(username, token))
        except NoToken as error:
            metrics.token(self._settings.name, None, failed=True)
            raise unreachable("auth", str(error)) from None
        tokens.accepted(token)
        metrics.token(self._settings.name, time() + tokens.seconds_left, failed=bool(tokens.trouble))

    def offers(self, extension: str) -> bool:
        """Whether the relay named this extension in its last reply to EHLO."""
        return extension.lower() in self._extensions

    def elsewhere_offers(self, extension: str) -> bool:
        """Whether any machine behind the relay's name offered this extension."""
        return extension.lower() in self._seen

    @property
    def timeout(self) -> float:
        """Seconds to wait for the reply to a command, except after the content."""
        return self._settings.timeout

    @property
    def size_limit(self) -> int | None:
        """The largest mail that the relay accepts, in bytes; None: it names no limit (RFC 1870, 4)."""
        limit = self._extensions.get("size", "").strip()
        is_number = limit.isascii() and limit.isdecimal() and len(limit) <= 20  # digits, as RFC 1870 has it
        return int(limit) or None if is_number else None

    @property
    def usable(self) -> bool:
        """Whether another mail may be sent command by command: open, and every reply is matched to its command."""
        return self._smtp.is_connected and not self._unpaired

    @property
    def _unpaired(self) -> bool:
        # aiosmtplib would return a surplus reply as the reply to the next command.
        return self._smtp.protocol is not None and bool(self._smtp.protocol._buffer)

    async def command(self, stage: Stage, line: bytes, within: float | None = None) -> Reply:
        """Send one command and return its reply. `within`: seconds. Raises Unreachable without a reply."""
        try:
            async with asyncio.timeout(within or self._settings.timeout):
                code, text = await self._smtp.execute_command(line)
        except (SMTPException, TimeoutError) as error:
            self.abort()
            raise unreachable(stage, _why(error)) from None
        except BaseException:
            self.abort()
            raise
        if not 200 <= code <= 599 or self._unpaired:
            self.abort()
            raise unreachable(stage, f"not one SMTP reply to one command: {code} {text}")
        return read_reply(stage, code, text)

    async def content(self, wire: bytes, within: float) -> Reply:
        """Send the content, dot-stuffed, and return its reply. `within`: seconds.

        Raises Unreachable if the connection breaks before the first byte was written, from then on Doubtful.
        """
        protocol = self._smtp.protocol
        try:
            if protocol is None:
                raise SMTPServerDisconnected("Connection lost")
            protocol.write(wire)
        except SMTPServerDisconnected as error:
            self.abort()
            raise unreachable("data", _why(error)) from None
        try:
            async with asyncio.timeout(within):
                code, text = await protocol.read_response()
        except (SMTPException, TimeoutError) as error:
            self.abort()
            raise Doubtful(read_reply("content", 0, _why(error))) from None
        except BaseException:
            self.abort()
            raise
        if code // 100 not in (2, 4, 5):
            self.abort()
            raise Doubtful(read_reply("content", 0, f"not a reply to a mail: {code} {text}"))
        return read_reply("content", code, text)

    async def reset(self) -> None:
        """Abort the mail transaction (RSET); close the connection if that fails."""
        try:
            reply = await self.command("mail", b"RSET")
        except Unreachable:
            return
        if reply.code // 100 != 2:
            self.abort()

    def abort(self) -> None:
        """Close at once and discard buffered data, so that a mail cut short stays cut short."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        self._smtp.close()


def _why(error: Exception) -> str:
    """The words of an error of aiosmtplib, the network or TLS, with those of its cause."""
    if isinstance(error, SMTPResponseException):
        return f"not an SMTP reply: {error.message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cause = str(error.__cause__ or "")
    return f"{error}: {cause}" if cause and cause not in str(error) else str(error) or type(error).__name__


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _address_literal(address: str) -> str:
    """The address literal by which a machine without a full name identifies itself (RFC 5321, 4.1.3)."""
    address = address.partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
