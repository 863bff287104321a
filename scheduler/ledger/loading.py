"""A pause after a database was set back, during which lost registrants can be loaded again and nothing goes out."""

from __future__ import annotations

SECONDS = 60.0


class Loading:
    """The pause, which ends when deliveries to people who were loaded again are held. Pure: monotonic seconds."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_over(self, at: float) -> bool:
        """Whether the pause is over. The first call begins it."""
        if self._since is None:
            self._since = at
        return at - self._since >= SECONDS

    def end(self) -> None:
        self._since = None
