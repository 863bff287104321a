"""The start of a service whose database may not answer yet: it waits for a minute, then gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from scheduler.database.engine import Database
from scheduler.faults import fault, first_line, is_temporary

log = structlog.get_logger()

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 1.0


class DatabaseAway(RuntimeError):
    """The database has not answered within the time that a start waits for it."""


class Starting:
    """One start, and why it is not done yet."""

    def __init__(self, database: Database) -> None:
        self.reason = "starting"
        """Why the service is not ready yet, for `/readyz`."""
        self._database = database

    async def run(self, start: Callable[[], Awaitable[None]]) -> None:
        """`start()`, again from its beginning while the database starts up or fails over. Raises DatabaseAway after a
        minute, and whatever else is raised by `start`."""
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(end):
                    await self._database.run(_answers)
                await start()
            except Exception as error:
                if not (is_temporary(error) or isinstance(error, TimeoutError)):
                    raise
                if asyncio.get_running_loop().time() + PAUSE_SECONDS >= end:
                    raise DatabaseAway(
                        f"the database has not answered for {PATIENCE_SECONDS:.0f} seconds ({_why(error)}): is it up,"
                        " and does DATABASE_URL lead to it?"
                    ) from error
                self._wait_for(error)
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.reason = "starting"
                return

    def _wait_for(self, error: Exception) -> None:
        waits = f"starting: the database does not answer yet, and is waited for up to {PATIENCE_SECONDS:.0f} seconds"
        if self.reason != waits:
            log.warning("the database does not answer yet", error=_why(error), seconds=PATIENCE_SECONDS)
        self.reason = waits


def _why(error: Exception) -> str:
    """The reason in the database's own words where possible: here they contain no values."""
    return first_line(error) if isinstance(error, DBAPIError) else fault(error)


def _answers(conn: Connection) -> None:
    conn.execute(text("SELECT 1"))
