"""So many mails a minute, and no more: what a relay allows."""

from __future__ import annotations

import asyncio
from datetime import datetime


class Pace:
    """Gives each mail its turn, evenly spaced in real time."""

    def __init__(self, per_minute: int | None) -> None:
        """None: no limit."""
        self._seconds = 60 / per_minute if per_minute else 0.0
        self._next = 0.0

    @property
    def limited(self) -> bool:
        return bool(self._seconds)

    async def turns(self, wanted: int) -> int:
        """Wait until a mail may begin; how many of the wanted may."""
        if not self._seconds:
            return wanted
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._seconds
        await asyncio.sleep(at - now)
        return 1

    def slow_down(self) -> None:
        pass

    def well(self, number: int) -> None:
        pass


class DayIsFull(Exception):
    """No more mails for now."""

    def __init__(self, until: datetime) -> None:
        super().__init__("the day's mails are used up")
        self.until = until
