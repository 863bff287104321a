"""Sends mails that are no deliveries, such as tests of texts, from the `outbox`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scheduler import outbox
from scheduler.clock import Clock
from scheduler.database.engine import Database
from scheduler.delivery.relay import Relay, send_one


class AskedFor:
    """Sends the mails of the outbox one at a time, so that they use one connection at most."""

    def __init__(
        self, database: Database, clock: Clock, relays: Sequence[Relay], may_write_to: Callable[[str], bool]
    ) -> None:
        """`relays`: in order of preference."""
        self._database, self._clock, self._relays, self._may_write_to = database, clock, relays, may_write_to

    async def send(self) -> None:
        """Send the waiting mails and remove old entries. Raises DBAPIError."""
        if not await self._database.run_reading(outbox.has_work, self._clock.now()):
            return
        await self._database.run(outbox.remove_old, self._clock.now())
        while mail := await self._database.run(outbox.pop, self._clock.now()):
            if not self._may_write_to(mail.recipient):
                refusal = "ONLY_TO does not allow this address"
            else:
                refusal = await send_one(self._relays, mail.sender, mail.recipient, mail.content)
            await self._database.run(outbox.record_outcome, self._clock.now(), mail.id, refusal)
