"""Which other services are gone, judged by their counters alone. Pure: observations in, verdicts out.

Every service raises a counter of its own (`presence`). Whoever watches measures by its own monotonic clock for how long
a counter stood still; no instant that another machine wrote is ever compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

BEAT_SECONDS = 4.0
"""Between two beats of a service: it raises its counter and looks at those of the others."""
LEASE_SECONDS = 120.0
"""A service whose counter stood still for this long is gone."""
GONE_SECONDS = 30.0
"""The same while its presence lock was free, too: time enough to connect again after a restart of PostgreSQL."""

Counters = Mapping[str, int | None]


@dataclass(frozen=True)
class _Seen:
    counter: int | None
    since: float  # when it was first seen at this count
    free_since: float | None  # and with its presence lock free; None: somebody holds it, or we cannot tell


class Watch:
    """What one service has seen of the others since it began to look without a break."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._looked_at = 0.0

    def forget(self) -> None:
        """Begin again from zero: our own session broke, so those of the others may have."""
        self._seen = {}

    def look(self, at: float, counters: Counters, present: Collection[str] | None) -> Counters:
        """One observation at `at` (monotonic seconds). Returns the services that are gone, with their counters.

        `counters`: None for a service that holds leases and has no counter; nobody is waiting for its lock either.
        `present`: who holds a presence lock; None while that cannot be known. After a gap between two observations we
        were suspended ourselves, and what we saw before it proves nothing.
        """
        if at - self._looked_at > 2 * BEAT_SECONDS:
            self.forget()
        self._looked_at = at
        self._seen = {
            name: self._one(
                at, name, counter, counter is None or (present is not None and name not in present)
            )
            for name, counter in counters.items()
        }
        return {name: seen.counter for name, seen in self._seen.items() if _is_gone(at, seen)}

    def _one(self, at: float, name: str, counter: int | None, is_free: bool) -> _Seen:
        before = self._seen.get(name)
        if before is None or before.counter != counter:
            return _Seen(counter, at, at if is_free else None)
        since_then = at if before.free_since is None else before.free_since
        return _Seen(counter, before.since, since_then if is_free else None)


def _is_gone(at: float, seen: _Seen) -> bool:
    stands_still = at - seen.since >= LEASE_SECONDS
    return stands_still or (seen.free_since is not None and at - seen.free_since >= GONE_SECONDS)
