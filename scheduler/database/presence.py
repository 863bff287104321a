"""One service among several on PostgreSQL: the others see that it is alive, it sees which of them are gone, and it is
woken by what is written to `registrants`.

It has two sessions of its own, so that nothing else it does can hold them up. The *beat* goes where the ledger is: it
raises this service's counter and reads those of the others. The *direct* session holds an advisory lock and listens,
for which it needs a connection without a pooler: in transaction mode that hands a session to others after each
statement. Without it nothing breaks: services that are gone are noticed later, by their counters alone, and new
registrants at the next look.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import psycopg
import structlog
from sqlalchemy import make_url

from scheduler.database import watch
from scheduler.database.engine import fault
from scheduler.database.postgresql import HOLDERS, KEEPALIVE, PRESENCE
from scheduler.timezones import knowledge_version
from scheduler.troubles import Troubles

log = structlog.get_logger()

CHANNEL = "registrants_changed"
RETRY_SECONDS = 1.0
HUNG_SECONDS = 5.0  # for one beat; then its connection is replaced
QUIET_SECONDS = 60.0  # a session that lasted for so long and breaks is worth a line in the log, again

_BEAT = "UPDATE service SET counter = counter + 1 WHERE holder = %s RETURNING counter"
_JOIN = """
INSERT INTO service (holder, counter, tz_version, started_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (holder) DO NOTHING"""
_LEAVE = "DELETE FROM service WHERE holder = %s"
_NAME = "lpad(to_hex({}), 8, '0')"
_OTHERS = f"""
SELECT (SELECT coalesce(json_object_agg({_NAME.format("holder")}, counter), '{{}}') FROM service),
       ARRAY(SELECT substr(lease_token, 1, 8) FROM delivery WHERE lease_token IS NOT NULL GROUP BY 1),
       ARRAY(SELECT {_NAME.format("objid")} FROM ({HOLDERS}) AS locks)"""


class Presence:
    """Kept up from `start` until `close`: both sessions are opened again when they break."""

    def __init__(
        self,
        url: str | Callable[[], str],
        direct_url: str | Callable[[], str],
        woken: Callable[[], None] = lambda: None,
        set_back: Callable[[], None] = lambda: None,
    ) -> None:
        """URLs as SQLAlchemy has them; a function gives one for each connection.

        Called in the event loop: `woken` when rows were written, or when the service may go on; `set_back` when the
        database has lost what this service wrote to it.
        """
        self.holder = secrets.randbelow(2**31 - 1) + 1
        """The number by which others know this service; its leases carry it."""
        self.gone: watch.Counters = {}
        """The other services that are gone, by name, with their counters (`claims.end_leases_of_gone`)."""
        self._url, self._direct_url = url, direct_url
        self._woken, self._set_back = woken, set_back
        self._name = f"{self.holder:08x}"
        self._counter = 0  # as the database confirmed it
        self._beaten_at: float | None = None
        self._fault = "it has just started"
        self._watch = watch.Watch()
        self._troubles = Troubles()
        self._joined, self._closing = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def trouble(self) -> str:
        """Why others may not know that this service is alive, or "". It must begin no mail then: who is not seen loses
        its leases."""
        if self._beaten_at is not None and monotonic() - self._beaten_at <= 2 * watch.BEAT_SECONDS:
            return ""
        return f"this service cannot show the others that it is alive: {self._fault}"

    @property
    def troubles(self) -> tuple[str, ...]:
        """What else is wrong, without keeping any mail."""
        return self._troubles.words

    async def start(self) -> None:
        """Returns after the first beat, if that is soon."""
        sessions = {"showing that this service is alive": self._beat, "listening for new rows": self._listen}
        self._tasks = [asyncio.create_task(self._keep(*one)) for one in sessions.items()]
        with suppress(TimeoutError):
            async with asyncio.timeout(HUNG_SECONDS):
                await self._joined.wait()

    async def close(self) -> None:
        """Leave. Whoever holds leases gives them back before."""
        self._closing.set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=HUNG_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, what: str, session: Callable[[], Awaitable[None]]) -> None:
        known = ""
        while not self._closing.is_set():
            with self._troubles.told(what):
                began = monotonic()
                try:
                    await session()
                except (psycopg.Error, OSError) as error:  # TimeoutError is one
                    if fault(error) != known or monotonic() - began > QUIET_SECONDS:
                        log.warning("session broken", what=what, error=fault(error))
                    known = fault(error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _beat(self) -> None:
        try:
            session = await _connect(self._url, connect_timeout=int(HUNG_SECONDS))
            try:
                while not self._closing.is_set():
                    async with asyncio.timeout(HUNG_SECONDS):
                        await self._one_beat(session)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(watch.BEAT_SECONDS):
                            await self._closing.wait()
                await session.execute(_LEAVE, (self.holder,))
            finally:
                await session.close()  # and no ROLLBACK before, as `async with` has it: that would hang, too
        except Exception as error:
            self._fault = "the database does not answer" if isinstance(error, TimeoutError) else fault(error)
            raise

    async def _one_beat(self, session: psycopg.AsyncConnection[Any]) -> None:
        row = await (await session.execute(_BEAT, (self.holder,))).fetchone()
        before, self._counter = self._counter, row[0] if row else self._counter + 1
        if row is None:  # our first beat, or the others thought that we were gone
            await session.execute(_JOIN, (self.holder, self._counter, knowledge_version(), datetime.now(UTC)))
        elif self._counter <= before:
            self._set_back()
        services, leased, present = await (await session.execute(_OTHERS)).fetchone() or ({}, [], [])
        counters = dict.fromkeys(leased) | services
        counters.pop(self._name, None)
        at = monotonic()
        # Where our own lock is not to be seen, the direct session is missing, and so it may be for the others.
        self.gone = self._watch.look(at, counters, present if self._name in present else None)
        was_in_trouble, self._beaten_at, self._fault = self.trouble, at, "its last beat is long ago"
        self._joined.set()
        if was_in_trouble or self.gone:
            self._woken()

    async def _listen(self) -> None:
        async with await _connect(self._direct_url) as session:
            await session.execute(f"LISTEN {CHANNEL}")
            # Not waited for: after a dead network the server may take the session before this one for alive.
            await session.execute(f"SELECT pg_try_advisory_lock({PRESENCE}, %s)", (self.holder,))
            try:
                self._woken()  # for what was written before we listened
                async for _ in session.notifies():
                    self._woken()
            finally:
                self._watch.forget()  # what broke our session may have broken those of the others


async def _connect(url: str | Callable[[], str], **more: int) -> psycopg.AsyncConnection[Any]:
    options: dict[str, Any] = KEEPALIVE | more
    conninfo = _conninfo(await asyncio.to_thread(url) if callable(url) else url)
    return await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None, **options)


def _conninfo(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
