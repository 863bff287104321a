"""Who signs in to a relay, and when: a wrong password is sent once, not by every connection that is opened.

Whoever sends it many times in a second is taken for somebody who guesses, and locked out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from scheduler.smtp.failures import Refused
from scheduler.smtp.replies import Reply

TURN_SECONDS = 5.0
"""How long the others wait for the first: many servers delay a refusal by two or three seconds."""


class SignIns:
    """The turns of one relay's connections. While one of them is signed in, nobody waits."""

    def __init__(self, is_signed_in: Callable[[], bool]) -> None:
        self._is_signed_in = is_signed_in
        self._first = asyncio.Lock()
        self._refused_at = -1.0  # on the loop's clock
        self._refusal: Reply | None = None

    @asynccontextmanager
    async def turn(self, since: float) -> AsyncIterator[None]:
        """Around AUTH and its reply. Raises Refused without having asked, where another one was refused since this one
        began to be opened (on the loop's clock)."""
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
