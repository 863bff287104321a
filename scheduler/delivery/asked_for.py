"""Sends mails that are no deliveries from the `outbox`, and removes old ones with the links that were mailed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from scheduler import mailed_links, outbox
from scheduler.clock import Clock
from scheduler.database.engine import Database
from scheduler.delivery.relay import NotSent, Relay, send_one


class AskedFor:
    """Sends the mails of the outbox one at a time, so that they use one connection at most."""

    def __init__(
        self, database: Database, clock: Clock, relays: Sequence[Relay], may_write_to: Callable[[str], bool]
    ) -> None:
        """`relays`: in order of preference."""
        self._database, self._clock, self._relays, self._may_write_to = database, clock, relays, may_write_to

    async def send(self) -> None:
        """Try the waiting mails, until a relay takes none, and remove old entries. Raises DBAPIError."""
        if not await self._database.run_reading(_has_work, self._clock.now()):
            return
        await self._database.run(_remove_old, self._clock.now())
        while mail := await self._database.run(outbox.pop, self._clock.now()):
            failed = await self._try(mail)
            if failed and failed.concerns_all:
                return

    async def _try(self, mail: outbox.Waiting) -> NotSent | None:
        if not self._may_write_to(mail.recipient):
            failed: NotSent | None = NotSent("ONLY_TO does not allow this address", None)
        else:
            failed = await send_one(self._relays, mail.sender, mail.recipient, mail.content)
        now = self._clock.now()
        if failed and failed.for_now and mail.patient:
            await self._database.run(outbox.put_back, now, mail)
        else:
            await self._database.run(outbox.record_outcome, now, mail.id, failed.words if failed else "")
        return failed


def _has_work(conn: Connection, now: datetime) -> bool:
    return outbox.has_work(conn, now) or mailed_links.has_old(conn, now)


def _remove_old(conn: Connection, now: datetime) -> None:
    outbox.remove_old(conn, now)
    mailed_links.remove_old(conn, now)
