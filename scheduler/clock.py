"""What time it is: the system's clock, or a rehearsal's. Only for what is due, expires, is said or dated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The instant, in UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


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
