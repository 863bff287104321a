"""Serializes sign-ins to a relay, so that a wrong password is sent once, not by every connection that is opened.

Relays lock an account out when a wrong password comes many times in a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from scheduler.smtp.failures import Refused
from scheduler.smtp.replies import Reply

TURN_SECONDS = 5.0
"""How long other connections wait for the first one: many servers delay a refusal by two or three seconds."""


class SignIns:
    """The turns of one relay's connections to sign in. While one of them is signed in, none has to wait."""

    def __init__(self, is_signed_in: Callable[[], bool]) -> None:
        self._is_signed_in = is_signed_in
        self._first = asyncio.Lock()
        self._refused_at = -1.0  # on the loop's clock
        self._refusal: Reply | None = None

    @asynccontextmanager
    async def turn(self, since: float) -> AsyncIterator[None]:
        """Wait for a turn; enclose AUTH and its reply. Raises Refused without any AUTH if another connection was
        refused since `since`, when the opening of this one began (on the loop's clock)."""
        async with AsyncExitStack() as alone:
            if not self._is_signed_in():
                with suppress(TimeoutError):
                    async with asyncio.timeout(TURN_SECONDS):
                        await alone.enter_async_context(self._first)
            if self._refusal and self._refused_at >= since:
                raise Refused(self._refusal)
            if self._is_signed_in():
                await alone.aclose()
            try:
                yield
            except Refused as refused:
                self._refusal = refused.reply
                self._refused_at = asyncio.get_running_loop().time()
                raise
