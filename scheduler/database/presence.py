"""Presence of a service among several on PostgreSQL: shows that it is alive, finds those that are gone, and wakes it
when `registrants` is written.

It has two sessions of its own, so that no other work delays them. The *beat* connects to the ledger's database; it
increments this service's counter and reads those of the others. The *direct* session holds an advisory lock and
LISTENs, for which it needs a connection without a pooler: in transaction mode a pooler hands a session to others after
each statement. Without the direct session, services that are gone are noticed later, by their counters alone, and new
registrants at the next poll.
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
from scheduler.database.postgresql import HOLDERS, KEEPALIVE, PRESENCE
from scheduler.faults import fault
from scheduler.readiness import Reason
from scheduler.troubles import Troubles
from scheduler.zones.wall import knowledge_version

log = structlog.get_logger()

CHANNEL = "registrants_changed"
RETRY_SECONDS = 1.0
HUNG_SECONDS = 5.0  # timeout of one beat, after which its connection is replaced
QUIET_SECONDS = 60.0  # a repeated failure is logged again if the session lasted for longer than this

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
    """Both sessions, from `start` until `close`; they are opened again when they break."""

    def __init__(
        self,
        url: str | Callable[[], str],
        direct_url: str | Callable[[], str],
        woken: Callable[[], None] = lambda: None,
        set_back: Callable[[], None] = lambda: None,
    ) -> None:
        """URLs are SQLAlchemy's; a function is called for each connection.

        Callbacks, called in the event loop: `woken` when rows were written, or when the service may go on; `set_back`
        when the database has lost writes of this service.
        """
        self.holder = secrets.randbelow(2**31 - 1) + 1
        """The number that identifies this service; its leases begin with it."""
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
        """Why others may not see that this service is alive, or "". It must begin no mail then, since others may end
        its leases."""
        if self._beaten_at is not None and monotonic() - self._beaten_at <= 2 * watch.BEAT_SECONDS:
            return ""
        return f"this service cannot show the others that it is alive: {self._fault}"

    @property
    def troubles(self) -> tuple[Reason, ...]:
        """What else is wrong, without keeping any mail."""
        return self._troubles.reasons

    async def start(self) -> None:
        """Open both sessions. Returns after the first beat, or after HUNG_SECONDS."""
        sessions = {"showing that this service is alive": self._beat, "listening for new rows": self._listen}
        self._tasks = [asyncio.create_task(self._keep(*one)) for one in sessions.items()]
        with suppress(TimeoutError):
            async with asyncio.timeout(HUNG_SECONDS):
                await self._joined.wait()

    async def close(self) -> None:
        """Leave. The service must have released its leases before."""
        self._closing.set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=HUNG_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, what: str, session: Callable[[], Awaitable[None]]) -> None:
        known = ""
        while not self._closing.is_set():
            with self._troubles.recorded(what):
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
                await session.close()  # `async with` would ROLLBACK first, which would hang, too
        except Exception as error:
            self._fault = "the database does not answer" if isinstance(error, TimeoutError) else fault(error)
            raise

    async def _one_beat(self, session: psycopg.AsyncConnection[Any]) -> None:
        row = await (await session.execute(_BEAT, (self.holder,))).fetchone()
        before, self._counter = self._counter, row[0] if row else self._counter + 1
        if row is None:  # the first beat, or the others took this service for gone
            await session.execute(_JOIN, (self.holder, self._counter, knowledge_version(), datetime.now(UTC)))
        elif self._counter <= before:
            self._set_back()
        services, leased, present = await (await session.execute(_OTHERS)).fetchone() or ({}, [], [])
        counters = dict.fromkeys(leased) | services
        counters.pop(self._name, None)
        at = monotonic()
        # If our own lock is missing, so is the direct session, and those of the others may be.
        self.gone = self._watch.look(at, counters, present if self._name in present else None)
        was_in_trouble, self._beaten_at, self._fault = self.trouble, at, "its last beat is long ago"
        self._joined.set()
        if was_in_trouble or self.gone:
            self._woken()

    async def _listen(self) -> None:
        async with await _connect(self._direct_url) as session:
            await session.execute(f"LISTEN {CHANNEL}")
            # Only tried: after a dead network the server may take the previous session for alive, with its lock.
            await session.execute(f"SELECT pg_try_advisory_lock({PRESENCE}, %s)", (self.holder,))
            try:
                self._woken()  # for rows written before LISTEN
                async for _ in session.notifies():
                    self._woken()
            finally:
                self._watch.forget()  # the same failure may have broken the sessions of others


async def _connect(url: str | Callable[[], str], **more: int) -> psycopg.AsyncConnection[Any]:
    options: dict[str, Any] = KEEPALIVE | more
    conninfo = _conninfo(await asyncio.to_thread(url) if callable(url) else url)
    return await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None, **options)


def _conninfo(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
