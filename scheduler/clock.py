"""Clocks: the system's, or a rehearsal's. For instants that are due, expire or are shown; durations use `time`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

JUMP = timedelta(seconds=5)
"""A difference from the time since boot that counts as a jump; corrections by small steps (NTP) stay below it."""
LASTS = timedelta(minutes=1)
"""How long a jump must last before it is followed."""
# CLOCK_BOOTTIME, where it exists, also counts the time during which the machine is suspended.
_SINCE_BOOT: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, in UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class SteadyClock:
    """The system's clock for a service that runs for weeks: a jump is followed only after it has lasted for LASTS.

    A mail that a wrong clock sends a day early can't be recalled. So `now` goes on for a minute as if the clock had not
    been set, and `trouble` reports it; a jump that lasts that long is intended. Suspending the machine is no jump,
    since the time since boot includes it.
    """

    def __init__(
        self,
        system: Callable[[], datetime] = lambda: datetime.now(UTC),
        since_boot: Callable[[], timedelta] = lambda: timedelta(seconds=time.clock_gettime(_SINCE_BOOT)),
    ) -> None:
        self._system, self._since_boot = system, since_boot
        self._booted = system() - since_boot()  # the instant of the boot, by the clock as followed
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
        """A message while a jump of the clock is not followed; else ""."""
        self.now()
        if self._jumped_at is None:
            return ""
        way = "forward" if self._jump > timedelta() else "back"
        size = str(timedelta(seconds=round(abs(self._jump).total_seconds())))
        return f"the system's clock was set {way} by {size}; the service follows it after a minute"


class VirtualClock:
    """A clock that advances only by `move_to`."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def move_to(self, instant: datetime) -> None:
        """Move forward. Raises ValueError for an instant in its past."""
        if instant < self._now:
            raise ValueError(f"a clock does not run back, from {self._now} to {instant}")
        self._now = instant.astimezone(UTC)
