"""Failures of the service's loops: reported in readiness until the work succeeds again, while the loop goes on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import structlog

from scheduler.faults import fault, is_database_error

log = structlog.get_logger()


class Trouble(RuntimeError):
    """A failure whose message says what is wrong, in words for a person and without personal data."""


class Troubles:
    """The present failures by the work that failed, in words without personal data."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self._words.values())

    def resolve(self, what: str) -> None:
        """Remove the failure of this work."""
        self._words.pop(what, None)

    def retain(self, works: Collection[str]) -> None:
        """Remove the failures of all other work: it will not be tried again."""
        self._words = {what: words for what, words in self._words.items() if what in works}

    @contextmanager
    def reporting(self, what: str) -> Iterator[None]:
        """Report and log an exception in this block as a failure of `what`, until the block succeeds again."""
        try:
            yield
        except Trouble as trouble:
            self._words[what] = str(trouble)
            log.error(what, error=str(trouble))
        except Exception as error:
            self._words[what] = f"{what}: {fault(error)}"
            log.error(what, error=fault(error), exc_info=not is_database_error(error))
        else:
            self.resolve(what)
