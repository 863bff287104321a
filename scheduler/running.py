"""`webinar run`: the service on the system's clock. APScheduler wakes it, SIGTERM ends it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING

import pytz
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.base import STATE_RUNNING
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from scheduler import metrics, systemd
from scheduler.clock import SteadyClock
from scheduler.database.engine import Database, dialect, fault, is_the_databases
from scheduler.database.file import Stands
from scheduler.delivery.marks import Mark
from scheduler.delivery.recorder import LedgerTrouble
from scheduler.ledger import claims
from scheduler.monitor import Monitor
from scheduler.reports.reasons import moved_away
from scheduler.service import MustRest, Service
from scheduler.settings import Settings
from scheduler.signals import Signals
from scheduler.starting import Starting
from scheduler.troubles import Troubles
from scheduler.web.child import WebChild, web_settings, why_off
from scheduler.web.health import Readiness, health_app
from scheduler.web.limits import OF_HEALTH, raise_descriptors
from scheduler.web.server import WebServer

if TYPE_CHECKING:
    from scheduler.database.presence import Presence

log = structlog.get_logger()

SOON = 0.05  # seconds between the first row that was written and the tick that plans it
SKEW_SECONDS = 5.0  # between this machine's clock and the database's
STUCK_AFTER = 120.0  # seconds without a tick that ended: the process is alive, its loop is not


class Runner:
    """Wakes the service each POLL_SECONDS and at the next instant at which something is due."""

    def __init__(
        self, settings: Settings, database: Database, clock: SteadyClock, earlier: Mark | None = None
    ) -> None:
        """`earlier`: what another run in this process knew of the ledger."""
        self._settings, self._database, self._clock = settings, database, clock
        self._presence = self._one_among_others() if database.dialect.takes_replicas else None
        holder = self._presence.holder if self._presence else 0
        self._service = Service(settings, database, clock, holder=holder, hands_over=True, earlier=earlier)
        self._monitor = Monitor(settings, database, clock, self._service.relays, holder)
        self._web = WebChild(web_settings(settings))
        # Memory job store, UTC, fixed ids: nothing true lives here. A late or missed wake-up is made up for.
        self._scheduler = AsyncIOScheduler(
            timezone=pytz.utc,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._ticking = asyncio.Lock()
        self._tick_again = False
        self._noted: asyncio.Task[None] | None = None
        self._trouble = ""
        self._troubles = Troubles()
        self._starting = Starting(database)
        self._last_tick: float | None = None
        self._replaced = asyncio.Event()  # the database's file, by another one

    def _one_among_others(self) -> Presence:
        from scheduler.database.presence import Presence  # and psycopg, 8 MB that SQLite has no need of

        url, direct = self._settings.address("database_url"), self._settings.address("database_direct_url")
        return Presence(url.now, direct.now, self._notified, self._set_back)

    @property
    def mark(self) -> Mark | None:
        """What this run knows of the ledger."""
        return self._service.mark

    async def run(self, stop: asyncio.Event) -> bool:
        """Run until `stop` is set; then drain. True: the database's file was replaced, and another run on what stands
        there now is to take this one's place."""
        health = WebServer(
            health_app(self.readiness, self._exposition),
            self._settings.health_host,
            self._settings.health_port,
            limits=OF_HEALTH,
            setting="HEALTH_PORT",
        )
        await health.start()
        try:
            if not await self._started(stop):
                log.info("stopped before it had started")
                return False
            self._monitor.start()
            self._start_web()
            gc.collect()
            gc.freeze()  # modules, texts and rules are no garbage: to look through them again and again delays mails
            seconds = self._settings.poll_seconds
            self._scheduler.add_job(
                _ends_in_order(self._wake), IntervalTrigger(seconds=seconds, timezone=pytz.utc), id="poll",
                next_run_time=datetime.now(pytz.utc),
            )  # fmt: skip
            self._scheduler.add_job(
                _ends_in_order(self._send), IntervalTrigger(seconds=seconds, timezone=pytz.utc), id="send"
            )
            if self._presence:
                await self._presence.start()
            self._scheduler.start()
            waking = asyncio.create_task(self._keep_waking())
            systemd.started()
            await _any_of(stop, self._replaced)
            if stop.is_set():
                systemd.stopping()
                log.info("stopping")
            else:
                log.error(
                    "the database's file was replaced: the service starts again on what stands there now"
                )
            waking.cancel()
            # Our own mails first: APScheduler's shutdown cancels running coroutines.
            self._scheduler.pause()
            await self._service.stop()
            self._scheduler.shutdown(wait=False)
            if self._presence:
                await self._presence.close()
        finally:
            await self._monitor.stop()
            await self._web.stop()
            await health.stop()
        log.info("stopped")
        return not stop.is_set()

    def _start_web(self) -> None:
        if why := why_off(self._settings):
            log.info("the editor is off", reason=why)
        else:
            self._web.start()

    async def _started(self, stop: asyncio.Event) -> bool:
        """Start the service; False where it is to stop before."""
        starting = asyncio.create_task(self._starting.run(self._service.start))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            starting.cancel()
            await asyncio.wait([starting])
            await self._service.sources.stop()
            return False
        await starting
        return True

    @systemd.reloading()
    def reload(self) -> None:
        """Read again what can change."""
        log.info("reloading")
        self._service.reload()
        self._notified()

    def readiness(self) -> Readiness:
        """The service's own reasons, and those of its surroundings."""
        reasons = [words for words in (self._trouble, self._clock.trouble) if words]
        if self._last_tick is None:
            reasons.append(self._starting.reason)
        elif asyncio.get_running_loop().time() - self._last_tick > STUCK_AFTER:
            reasons.append("nothing was planned for two minutes")
        service = self._service.readiness()
        presence = (
            (self._presence.trouble, *self._presence.troubles) if self._presence and self._last_tick else ()
        )
        every = (*reasons, *self._troubles.words, *presence, *service.reasons, *self._monitor.reasons)
        notes = filter(None, [self._web.trouble])
        return Readiness(
            tuple(dict.fromkeys(filter(None, every))),
            (*service.notes, *self._monitor.notes, *notes),
            self._monitor.late,
        )

    async def _exposition(self) -> bytes:
        return await self._monitor.exposition(self.readiness().ready)

    async def _keep_waking(self) -> None:
        """APScheduler goes by the wall clock: where that is set back, it would sleep until it is then again."""
        patience = timedelta(seconds=2 * self._settings.poll_seconds + 1)
        while True:
            await asyncio.sleep(patience.total_seconds())
            with self._troubles.told("waking up"):
                now = datetime.now(pytz.utc)
                for job in (self._scheduler.get_job("poll"), self._scheduler.get_job("send")):
                    if job and job.next_run_time > now + patience:
                        job.modify(next_run_time=now)

    def _set_back(self) -> None:
        self._service.dispatcher.recorder.is_set_back = True

    def _notified(self) -> None:
        """Rows were written. Soon, not at once: those of one import come in many transactions. While it starts or stops
        nothing is planned or claimed."""
        if self._scheduler.state == STATE_RUNNING and (self._noted is None or self._noted.done()):
            self._noted = asyncio.create_task(self._wake_soon())

    async def _wake_soon(self) -> None:
        await asyncio.sleep(SOON)
        await self._wake()

    async def _wake(self) -> None:
        self._tick_again = True
        if self._ticking.locked():
            return
        async with self._ticking:
            while self._tick_again:
                self._tick_again = False
                await self._tick()

    async def _tick(self) -> None:
        try:
            await self._look_at_file()
            if self._presence:
                await self._join(self._presence)
            self._tick_again |= await self._service.tick(self._clock.now())
            self._trouble, self._last_tick = "", asyncio.get_running_loop().time()
            metrics.ticked()
        except MustRest as reason:
            self._service.rest()
            if str(reason) != self._trouble:
                log.error("nothing planned or sent", reason=str(reason))
            self._trouble = str(reason)
            return
        except LedgerTrouble as error:  # which says so itself, in readiness and in the log
            log.warning("nothing planned", reason=str(error))
            return
        except Exception as error:  # whatever it is: the next wake-up tries again, and people can see it
            whose = "the database does not answer" if is_the_databases(error) else "the service fails"
            self._trouble = f"{whose}: {fault(error)}"
            log.error("tick failed", error=self._trouble, exc_info=not is_the_databases(error))
            return

    async def _look_at_file(self) -> None:
        """Raises MustRest where the database is not the one any more to which DATABASE_URL leads: nobody would find
        again what is recorded in it now."""
        stands = await self._database.stands()
        if stands is Stands.SAME:
            return
        if stands is Stands.REPLACED:
            self._replaced.set()
        raise MustRest(moved_away(stands, self._database.path))

    async def _send(self) -> None:
        """Send what is due, and come again when the next mail is. Planning, which may take long, has no part in it."""
        with self._troubles.told("looking for what is due"):
            wake, now = await self._service.send_due(), self._clock.now()
            if wake and now < wake < now + timedelta(seconds=self._settings.poll_seconds):
                self._scheduler.add_job(
                    _ends_in_order(self._send),
                    DateTrigger(wake, timezone=pytz.utc),
                    id="due",
                    replace_existing=True,
                )

    async def _join(self, presence: Presence) -> None:
        """Be one service among others: end what those left behind that are gone. Raises MustRest when this one may not
        go on; two whose clocks disagree would send at two different times."""
        theirs = await self._database.run(lambda conn: dialect(conn).clock(conn))
        if presence.trouble:
            raise MustRest(presence.trouble)
        ahead = self._clock.now().timestamp() - theirs
        metrics.CLOCK_OFFSET.set(ahead)
        if abs(ahead) > SKEW_SECONDS:
            how = "ahead of" if ahead > 0 else "behind"
            raise MustRest(
                f"this machine's clock is {abs(ahead):.0f} s {how} the database's: nothing is planned or sent"
            )
        if presence.gone and await self._service.took_over():
            await self._database.run(claims.end_leases_of_gone, self._clock.now(), presence.gone)


async def _any_of(*events: asyncio.Event) -> None:
    """Wait for the first of these."""
    waits = [asyncio.create_task(one.wait()) for one in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for one in waits:
        one.cancel()


def _ends_in_order(job: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """A job that says nothing where the stop cancels it: APScheduler logs whatever one raises as an error."""

    @wraps(job)
    async def run() -> None:
        with suppress(asyncio.CancelledError):
            await job()

    return run


async def run_service(settings: Settings, database: Database) -> None:
    """The whole of `webinar run`. Raises DatabaseInUse, NewerSchema, StatementFails, OSError (a port that is taken),
    DatabaseAway, DBAPIError."""
    raise_descriptors()
    database.hold_for_service()
    clock = SteadyClock()
    runner = Runner(settings, database, clock)
    signals = Signals(runner.reload)
    while await runner.run(signals.stop):
        database.reopen()
        runner = Runner(settings, database, clock, runner.mark)
        signals.reload = runner.reload
