"""Counts of events by whoever causes them, within limits and a bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import takewhile
from math import inf

MOST_COUNTS = 100_000  # 20 MB


class Counts:
    """The number of events by key. A count lasts for `within` seconds from its first event. `most`: counts at once."""

    def __init__(
        self, within: float, clock: Callable[[], float] = time.monotonic, most: float = MOST_COUNTS
    ) -> None:
        self._within, self._clock, self._most = within, clock, most
        self._counts = _Counts()

    def begin(self, limits: Mapping[bytes, int], most: float | None = None) -> Counted | None:
        """Count an event under each of these keys; None, and nothing is counted, if one of them has reached its limit
        or there are more than `most` counts."""
        most = self._most if most is None else most
        now, counts = self._clock(), self._counts
        for old in list(takewhile(lambda key: counts[key][1] < now - self._within, counts)):
            del counts[old]
        if len(counts) + sum(key not in counts for key in limits) > most:
            return None
        if any(key in counts and counts[key][0] >= limit for key, limit in limits.items()):
            return None
        for key in limits:
            number, since = counts.get(key, (0, now))
            counts[key] = number + 1, since
        return Counted(counts, tuple(limits), now)


_Counts = dict[bytes, tuple[int, float]]
"""The number of events and the time of the first, oldest first. Keys are digests: 200 bytes an entry, however long a
text is."""


def count_key(*parts: str) -> bytes:
    """The key of a count."""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class Counted:
    """One event."""

    _counts: _Counts
    _keys: tuple[bytes, ...]
    _at: float

    def discard(self) -> None:
        """Do not count the event."""
        for key in self._keys:
            number, since = self._counts.get(key, (0, inf))
            if since > self._at:  # the count began after this event
                continue
            if number > 1:
                self._counts[key] = number - 1, since
            else:
                del self._counts[key]
