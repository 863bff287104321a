"""What fails now: reported in readiness until it works again, while the loop around it goes on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import structlog

from scheduler.faults import fault, is_the_databases

log = structlog.get_logger()


class Trouble(RuntimeError):
    """A failure whose words tell a person what is wrong, without personal data."""


class Troubles:
    """By what was tried, in words without personal data."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self._words.values())

    def over(self, what: str) -> None:
        self._words.pop(what, None)

    def keep(self, those: Collection[str]) -> None:
        """Forget what is not among `those`: nobody will try it again."""
        self._words = {what: words for what, words in self._words.items() if what in those}

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Around one try of a loop's work: an exception is a trouble until a later try of `what` ends without one."""
        try:
            yield
        except Trouble as trouble:
            self._words[what] = str(trouble)
            log.error(what, error=str(trouble))
        except Exception as error:
            self._words[what] = f"{what}: {fault(error)}"
            log.error(what, error=fault(error), exc_info=not is_the_databases(error))
        else:
            self.over(what)
