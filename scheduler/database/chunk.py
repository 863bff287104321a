"""The number of rows in one transaction, adapted so that nobody waits long for it."""

from __future__ import annotations

SECONDS, SECONDS_OF_WAITING = 0.1, 0.05  # target duration of a transaction: otherwise, while others wait
FIRST, LEAST, MOST = 500, 20, 5000  # rows


class Chunk:
    """A number of rows that adapts to the duration of the last transaction."""

    def __init__(self, *, others_wait: bool) -> None:
        """`others_wait`: others cannot write meanwhile, as on SQLite, or other programs write these rows, too."""
        self.rows = FIRST
        self.pause = 0.0
        """Seconds to pause before the next transaction, for other writers. On SQLite they wait by polling."""
        self._others_wait = others_wait
        self._seconds = SECONDS_OF_WAITING if others_wait else SECONDS

    def record(self, rows: int, seconds: float) -> None:
        """Adapt to a transaction of `rows` rows that lasted `seconds`. A short one of few rows is no measure."""
        self.pause = min(seconds, self._seconds) if self._others_wait and rows else 0.0
        if rows * 2 < self.rows and seconds < self._seconds:
            return
        fits = rows * self._seconds / max(seconds, 0.001)
        self.rows = int(min(max(fits, self.rows / 4, LEAST), self.rows * 2, MOST))

    def failed(self) -> None:
        """Reduce the number after a transaction that failed, perhaps because it lasted too long."""
        self.rows = max(self.rows // 4, LEAST)
