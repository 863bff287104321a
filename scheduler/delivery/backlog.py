"""What is claimed and not sent yet, in the order in which it is sent: what is due on registration first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from scheduler.ledger.entries import Claimed, Lease, Version

Item = tuple[Claimed, Version | None]


class Backlog:
    """Two queues of claimed deliveries, and the leases on those that somebody took out and has not settled."""

    def __init__(self) -> None:
        self.leased: dict[int, Claimed] = {}  # from the claim until it is settled
        self._urgent: deque[Item] = deque()
        self._others: deque[Item] = deque()
        self._spoken_for = 0

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
        """How many nobody waits to send."""
        return max(0, len(self) - self._spoken_for)

    @contextmanager
    def spoken_for(self, wanted: int) -> Iterator[int]:
        """Reserve up to `wanted` mails while waiting for a turn; yields how many were reserved."""
        number = min(wanted, self.free)
        self._spoken_for += number
        try:
            yield number
        finally:
            self._spoken_for -= number

    def add(self, items: Iterable[Item]) -> None:
        for item in items:
            self.leased[item[0].id] = item[0]
            self._queue(item).append(item)

    def take(self) -> Item | None:
        """The next one, or None."""
        for queue in (self._urgent, self._others):
            if queue:
                return queue.popleft()
        return None

    def put_back(self, item: Item) -> None:
        """It will be the next of its kind."""
        self._queue(item).appendleft(item)

    def take_all(self) -> list[Item]:
        items = [*self._urgent, *self._others]
        self._urgent.clear()
        self._others.clear()
        return items

    def settle(self, claimed: Iterable[Lease]) -> None:
        """Their outcome is on record, or they are given up: then whoever calls this has their leases ended."""
        for one in claimed:
            self.leased.pop(one.id, None)

    def _queue(self, item: Item) -> deque[Item]:
        return self._others if item[0].urgency else self._urgent
