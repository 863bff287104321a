"""So many mails a minute, and no more: what a relay allows."""

from __future__ import annotations

import asyncio


class Pace:
    """Gives each mail its turn, evenly spaced in real time."""

    def __init__(self, per_minute: int | None) -> None:
        """None: no limit."""
        self._seconds = 60 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until the next mail may begin."""
        if not self._seconds:
            return
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._seconds
        await asyncio.sleep(at - now)
