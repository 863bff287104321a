"""How many rows one transaction takes, so that nobody waits long for it."""

from __future__ import annotations

OTHERS_WRITE = 0.1  # seconds that a transaction should last beside which others can write
OTHERS_WAIT = 0.05  # and one for which they may wait: on SQLite, or for rows that other programs write
LEAST, MOST = 20, 5000  # rows


class Chunk:
    """A number of rows that follows the time that the last transaction took."""

    def __init__(self, seconds: float) -> None:
        self.rows = 500
        self._seconds = seconds

    def took(self, rows: int, seconds: float) -> None:
        """A transaction of so many rows lasted so long. A few rows say nothing about many."""
        if rows * 2 < self.rows and seconds < self._seconds:
            return
        fits = rows * self._seconds / max(seconds, 0.001)
        self.rows = int(min(max(fits, self.rows / 4, LEAST), self.rows * 2, MOST))
