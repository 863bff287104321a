"""Detects services that are gone by their counters. Pure: observations in, verdicts out.

Every service increments a counter of its own (`presence`). An observer measures by its own monotonic clock for how long
a counter has not changed; timestamps of other machines are never compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

BEAT_SECONDS = 4.0
"""Seconds between two beats, in each of which a service increments its counter and reads those of the others."""
LEASE_SECONDS = 120.0
"""A service whose counter has not changed for this long is gone."""
GONE_SECONDS = 30.0
"""The same if its presence lock is free as well: time enough to reconnect after a restart of PostgreSQL."""

Counters = Mapping[str, int | None]


@dataclass(frozen=True)
class _Seen:
    counter: int | None
    since: float  # when the counter was first seen with this value
    free_since: float | None  # since when its presence lock is also free; None: it is held, or not known


class Watch:
    """The observations of other services by one service, since it began to observe without a gap."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._looked_at = 0.0

    def forget(self) -> None:
        """Discard all observations: the observer's own session broke, so those of the others may have."""
        self._seen = {}

    def look(self, at: float, counters: Counters, present: Collection[str] | None) -> Counters:
        """Record one observation at `at` (monotonic seconds). Returns the services that are gone, with their counters.

        `counters`: None for a service that holds leases but has no counter, and so no lock either. `present`: the
        services that hold a presence lock; None if that is not known. A gap between two observations means that the
        observer was suspended: earlier observations are discarded.
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
