"""Failures of loops that go on: each is a reason of readiness until the same work succeeds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import structlog

from scheduler.faults import fault, is_database_error, refuses_sign_in
from scheduler.readiness import Kind, Reason

log = structlog.get_logger()


class Trouble(RuntimeError):
    """A failure whose words say what is wrong, without personal data."""

    kind: Kind | None = None
    """What it is about, where that is not the loop's own work."""


class Troubles:
    """The failures of one part of the service, by what was tried."""

    def __init__(self, kind: Kind = Kind.FAILURE) -> None:
        """`kind`: of its reasons."""
        self._kind = kind
        self._reasons: dict[str, Reason] = {}

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What fails now."""
        return tuple(self._reasons.values())

    def resolve(self, what: str) -> None:
        """Remove the failure of this work."""
        self._reasons.pop(what, None)

    def retain(self, works: Collection[str]) -> None:
        """Forget failures of anything else: it will not be tried again."""
        self._reasons = {what: reason for what, reason in self._reasons.items() if what in works}

    @contextmanager
    def recorded(self, what: str) -> Iterator[None]:
        """Around one try of a loop's work: an exception is logged, and a reason until a try of `what` succeeds."""
        try:
            yield
        except Trouble as trouble:
            self._reasons[what] = Reason(trouble.kind or self._kind, str(trouble))
            log.error(what, error=str(trouble))
        except Exception as error:
            kind = Kind.SIGN_IN if self._kind.stops and refuses_sign_in(error) else self._kind
            self._reasons[what] = Reason(kind, f"{what}: {fault(error)}")
            log.error(what, error=fault(error), exc_info=not is_database_error(error))
        else:
            self.resolve(what)
