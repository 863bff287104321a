"""What time it is: the system's clock, or a rehearsal's. Only for what is due, expires, is said or dated."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

JUMP = timedelta(seconds=5)
"""What the time since boot does not explain; clocks that are kept right by small steps stay below it."""
LASTS = timedelta(minutes=1)
# The former, where there is one, counts the time in which the machine sleeps.
_SINCE_BOOT: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    def now(self) -> datetime:
        """The instant, in UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class SteadyClock:
    """The system's clock for a service that runs for weeks: when somebody sets it, it is not followed at once.

    A mail that a wrong clock sends a day early can't be taken back. So for a minute it goes on as if nothing had
    happened, and `trouble` says so; what lasts so long is meant. A suspended machine's clock has not jumped: the
    time since boot counts that time in.
    """

    def __init__(
        self,
        system: Callable[[], datetime] = lambda: datetime.now(UTC),
        since_boot: Callable[[], timedelta] = lambda: timedelta(seconds=time.clock_gettime(_SINCE_BOOT)),
    ) -> None:
        self._system, self._since_boot = system, since_boot
        self._booted = system() - since_boot()  # when, by the clock as we follow it
        self._jump = timedelta()
        self._jumped_at: timedelta | None = None  # since boot

    def now(self) -> datetime:
        wall, elapsed = self._system(), self._since_boot()
        jump = wall - elapsed - self._booted
        if abs(jump) > JUMP:
            if self._jumped_at is None or abs(jump - self._jump) > JUMP:
                self._jump, self._jumped_at = jump, elapsed
            if elapsed - self._jumped_at < LASTS:
                return self._booted + elapsed
        self._booted, self._jumped_at = wall - elapsed, None
        return wall

    @property
    def trouble(self) -> str:
        """That the clock was set, as long as it is not followed; else ""."""
        self.now()
        if self._jumped_at is None:
            return ""
        way = "forward" if self._jump > timedelta() else "back"
        size = str(timedelta(seconds=round(abs(self._jump).total_seconds())))
        return f"the system's clock was set {way} by {size}; it is followed when that has lasted for a minute"


class VirtualClock:
    """Stands still until it is moved."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def move_to(self, instant: datetime) -> None:
        """Move forward. Raises ValueError for an instant in its past."""
        if instant < self._now:
            raise ValueError(f"a clock does not run back, from {self._now} to {instant}")
        self._now = instant.astimezone(UTC)
