"""After a database was set back: for how long nothing goes out, while people who were lost can be loaded again."""

from __future__ import annotations

SECONDS = 60.0


class Loading:
    """From a set-back until what is due to whoever was loaded again is held. Pure: times are a clock's that only goes
    forward."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_over(self, at: float) -> bool:
        """Asked in each tick; the first time it begins."""
        if self._since is None:
            self._since = at
        return at - self._since >= SECONDS

    def end(self) -> None:
        self._since = None
