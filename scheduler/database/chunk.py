"""How many rows one transaction takes, so that nobody waits long for it."""

from __future__ import annotations

SECONDS, SECONDS_OF_WAITING = 0.1, 0.05  # that a transaction should last: beside others, and while they wait
FIRST, LEAST, MOST = 500, 20, 5000  # rows


class Chunk:
    """A number of rows that follows the time that the last transaction took."""

    def __init__(self, *, others_wait: bool) -> None:
        """`others_wait`: others can't write beside it, as on SQLite, or it writes rows that other programs write."""
        self.rows = FIRST
        self.pause = 0.0
        """Seconds to leave to whoever waits, before the next transaction. On SQLite they wait by looking now and then
        whether it is their turn."""
        self._others_wait = others_wait
        self._seconds = SECONDS_OF_WAITING if others_wait else SECONDS

    def took(self, rows: int, seconds: float) -> None:
        """A transaction of so many rows lasted so long. A few rows say nothing about many."""
        self.pause = min(seconds, self._seconds) if self._others_wait and rows else 0.0
        if rows * 2 < self.rows and seconds < self._seconds:
            return
        fits = rows * self._seconds / max(seconds, 0.001)
        self.rows = int(min(max(fits, self.rows / 4, LEAST), self.rows * 2, MOST))

    def failed(self) -> None:
        """A transaction of so many rows failed, perhaps because it lasted too long."""
        self.rows = max(self.rows // 4, LEAST)
