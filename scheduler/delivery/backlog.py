"""Claimed deliveries that are not sent yet, in the order of sending: those due on registration first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from scheduler.ledger.entries import Claimed, Lease, Version

Item = tuple[Claimed, Version | None]


class Backlog:
    """Two queues of claimed deliveries, and the leases that are held, also on deliveries already popped."""

    def __init__(self) -> None:
        self.leased: dict[int, Claimed] = {}  # by id, from the claim until `discard`
        self._urgent: deque[Item] = deque()
        self._others: deque[Item] = deque()
        self._reserved = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    @property
    def urgent(self) -> int:
        return len(self._urgent)

    @property
    def others(self) -> int:
        return len(self._others)

    @property
    def free(self) -> int:
        """The number of deliveries that are not reserved."""
        return max(0, len(self) - self._reserved)

    @contextmanager
    def reserve(self, wanted: int) -> Iterator[int]:
        """Reserve up to `wanted` deliveries while waiting for a turn; yields how many were reserved."""
        number = min(wanted, self.free)
        self._reserved += number
        try:
            yield number
        finally:
            self._reserved -= number

    def add(self, items: Iterable[Item]) -> None:
        for item in items:
            self.leased[item[0].id] = item[0]
            self._queue(item).append(item)

    def pop(self) -> Item | None:
        """Remove and return the next delivery; None: the backlog is empty."""
        for queue in (self._urgent, self._others):
            if queue:
                return queue.popleft()
        return None

    def put_back(self, item: Item) -> None:
        """Return a popped delivery to the front of its queue."""
        self._queue(item).appendleft(item)

    def pop_all(self) -> list[Item]:
        items = [*self._urgent, *self._others]
        self._urgent.clear()
        self._others.clear()
        return items

    def discard(self, leases: Iterable[Lease]) -> None:
        """Hold these leases no longer: the outcome is on record, or the caller has the lease ended."""
        for lease in leases:
            self.leased.pop(lease.id, None)

    def _queue(self, item: Item) -> deque[Item]:
        return self._others if item[0].urgency else self._urgent
