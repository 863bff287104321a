"""A service's own session on PostgreSQL: others see by it that the service is there, and it is woken by what is written
to `registrants`.

It needs a direct connection: a pooler in transaction mode hands the session to others after each statement. Behind
one nothing breaks, but what a killed service was sending is in doubt only when its leases lapse, and new registrants
wait for the next look at the table.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import psycopg
import structlog
from sqlalchemy import make_url

from scheduler.database.postgresql import PRESENCE

log = structlog.get_logger()

CHANNEL = "registrants_changed"
RETRY_SECONDS = 1.0


class Presence:
    """Held from `start` until `close`, and taken again when the session breaks."""

    def __init__(self, url: str, woken: Callable[[], None]) -> None:
        """`url` as SQLAlchemy has it; `woken` is called, in the event loop, when rows were written."""
        self.holder = secrets.randbelow(2**31 - 1) + 1
        """The number by which others know this service; leases carry it."""
        self._conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._woken = woken
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._hold())

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _hold(self) -> None:
        while True:
            try:
                await self._session()
            except psycopg.Error as error:
                log.warning("no session to listen in", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)

    async def _session(self) -> None:
        # A dead network is noticed in half a minute.
        session = await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=10, keepalives_idle=10, keepalives_interval=5,
            keepalives_count=4,
        )  # fmt: skip
        async with session:
            await session.execute(f"SELECT pg_advisory_lock({PRESENCE}, %s)", (self.holder,))
            await session.execute(f"LISTEN {CHANNEL}")
            self._woken()  # for what was written before we listened
            async for _ in session.notifies():
                self._woken()
