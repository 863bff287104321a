"""Sends over one connection as the service does: in a window that rolls."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.smtp.envelope import Mail
from scheduler.smtp.pool import Connection, RelayFailure
from scheduler.smtp.replies import Reply


async def send_over(
    connection: Connection, mails: Sequence[Mail]
) -> tuple[list[Reply | RelayFailure], list[int]]:
    """As many of these as the connection bears: a result for each in order, and how many were in flight at a time."""
    results: list[Reply | RelayFailure] = []
    in_flight: list[int] = []
    begun = 0

    def take(number: int) -> Sequence[Mail]:
        nonlocal begun
        taken = mails[begun : begun + max(0, number)]
        begun += len(taken)
        in_flight.append(begun - len(results))
        return taken

    async def more(told: list[Reply | RelayFailure]) -> Sequence[Mail]:
        results.extend(told)
        return take(connection.room(begun - len(results)))

    while connection.usable and begun < len(mails):
        group = take(connection.window)
        results += await connection.send_all(group, more)
    return results, in_flight
