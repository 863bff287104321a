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

from scheduler import metrics
from scheduler.clock import SteadyClock
from scheduler.database.engine import Database, dialect
from scheduler.database.file import FileState
from scheduler.delivery.marks import Mark
from scheduler.delivery.recorder import LedgerTrouble
from scheduler.faults import fault, is_database_error, refuses_sign_in
from scheduler.http.limits import OF_HEALTH, raise_descriptors
from scheduler.http.server import WebServer
from scheduler.ledger import claims
from scheduler.readiness import Kind, Readiness, Reason, reasons
from scheduler.reports.reasons import moved_away
from scheduler.service import systemd
from scheduler.service.health import health_app
from scheduler.service.monitor import Monitor
from scheduler.service.service import MustRest, Service
from scheduler.service.signals import Signals
from scheduler.service.starting import Starting
from scheduler.service.web_child import WebChild
from scheduler.settings import Settings
from scheduler.troubles import Troubles
from scheduler.web_link import web_settings, why_editor_off

if TYPE_CHECKING:
    from scheduler.database.presence import Presence

log = structlog.get_logger()

SOON = 0.05  # seconds between a row being written and the tick that plans it
SKEW_SECONDS = 5.0  # the largest difference allowed between this machine's clock and the database's
STUCK_AFTER = 120.0  # seconds without a completed tick after which the service is not ready


class Runner:
    """Wakes the service every POLL_SECONDS and at the next instant at which a mail is due."""

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
        # Memory job store, UTC, fixed ids: the state is in the database. A late or missed wake-up runs at once.
        self._scheduler = AsyncIOScheduler(
            timezone=pytz.utc,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._ticking = asyncio.Lock()
        self._tick_again = False
        self._noted: asyncio.Task[None] | None = None
        self._trouble: Reason | None = None  # why the last tick failed
        self._troubles = Troubles()
        self._starting = Starting(database)
        self._last_tick: float | None = None
        self._replaced = asyncio.Event()  # set when another file takes the place of the database's

    def _one_among_others(self) -> Presence:
        from scheduler.database.presence import Presence  # and psycopg, 8 MB that SQLite has no need of

        url, direct = (self._settings.address(name).now for name in ("database_url", "database_direct_url"))
        return Presence(url, direct, self._notified, self._set_back)

    @property
    def mark(self) -> Mark | None:
        """What this run knows of the ledger."""
        return self._service.mark

    async def run(self, stop: asyncio.Event) -> bool:
        """Run until `stop` is set, then drain. Returns True when the database's file was replaced: another run must
        then use the new one."""
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
            gc.freeze()  # modules, texts and rules stay: scanning them in each collection delays mails
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
        if why := why_editor_off(self._settings):
            log.info("the editor is off", reason=why)
        if not why or self._settings.pages_url:
            self._web.start()

    async def _started(self, stop: asyncio.Event) -> bool:
        """Start the service. Returns False when `stop` is set first."""
        starting = asyncio.create_task(self._starting.run(self._service.start))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            starting.cancel()
            await asyncio.wait([starting])
            await self._service.governor.stop()
            return False
        await starting
        return True

    @systemd.reloading()
    def reload(self) -> None:
        """Read files and secrets again."""
        log.info("reloading")
        self._service.reload()
        self._notified()

    def readiness(self) -> Readiness:
        """Whether the next mail would go out, as far as the service and its surroundings know."""
        found = [self._trouble] if self._trouble else []
        found += reasons(Kind.CLOCK_SET, [self._clock.trouble])
        if self._last_tick is None:
            found.append(Reason(Kind.STARTING, self._starting.reason))
        elif asyncio.get_running_loop().time() - self._last_tick > STUCK_AFTER:
            found.append(Reason(Kind.NOT_PLANNED, "nothing was planned for two minutes"))
        found += self._troubles.reasons
        if self._presence and self._last_tick:
            found += [*reasons(Kind.PRESENCE, [self._presence.trouble]), *self._presence.troubles]
        found += [*self._service.readiness().found, *self._monitor.reasons]
        found += [self._web.trouble] if self._web.trouble else []
        return Readiness(tuple(found), self._monitor.late)

    async def _exposition(self) -> bytes:
        return await self._monitor.exposition(self.readiness().ready)

    async def _keep_waking(self) -> None:
        """Make up for a wall clock that is set back: APScheduler would sleep until it reaches the old time again."""
        patience = timedelta(seconds=2 * self._settings.poll_seconds + 1)
        while True:
            await asyncio.sleep(patience.total_seconds())
            with self._troubles.recorded("waking up"):
                now = datetime.now(pytz.utc)
                for job in (self._scheduler.get_job("poll"), self._scheduler.get_job("send")):
                    if job and job.next_run_time > now + patience:
                        job.modify(next_run_time=now)

    def _set_back(self) -> None:
        self._service.dispatcher.recorder.is_set_back = True

    def _notified(self) -> None:
        """Wake soon after rows were written, not at once: an import writes in many transactions. During a start or a
        stop nothing is planned or claimed."""
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
            self._trouble, self._last_tick = None, asyncio.get_running_loop().time()
            metrics.ticked()
        except MustRest as rest:
            self._service.rest()
            if rest.reason != self._trouble:
                log.error("nothing planned or sent", reason=rest.reason.words)
            self._trouble = rest.reason
            return
        except LedgerTrouble as error:  # logged and reported in readiness by the recorder
            log.warning("nothing planned", reason=str(error))
            return
        except Exception as error:  # of any kind: the next wake-up tries again, and readiness reports it
            self._trouble = _failure(error)
            log.error("tick failed", error=self._trouble.words, exc_info=not is_database_error(error))
            return

    async def _look_at_file(self) -> None:
        """Raises MustRest where DATABASE_URL no longer leads to the open database: nobody would find what is recorded
        in it."""
        stands = await self._database.file_state()
        if stands is FileState.SAME:
            return
        if stands is FileState.REPLACED:
            self._replaced.set()
        raise MustRest(moved_away(stands, self._database.path))

    async def _send(self) -> None:
        """Send what is due, and wake again when the next mail is. Never waits for planning."""
        with self._troubles.recorded("looking for what is due"):
            wake, now = await self._service.send_due(), self._clock.now()
            if wake and now < wake < now + timedelta(seconds=self._settings.poll_seconds):
                self._scheduler.add_job(
                    _ends_in_order(self._send),
                    DateTrigger(wake, timezone=pytz.utc),
                    id="due",
                    replace_existing=True,
                )

    async def _join(self, presence: Presence) -> None:
        """End the leases of services that are gone. Raises MustRest when this service must not go on, as when its
        clock and the database's differ, so that replicas would send at different times."""
        theirs = await self._database.run(lambda conn: dialect(conn).clock(conn))
        if presence.trouble:
            raise MustRest(Reason(Kind.PRESENCE, presence.trouble))
        ahead = self._clock.now().timestamp() - theirs
        metrics.CLOCK_OFFSET.set(ahead)
        if abs(ahead) > SKEW_SECONDS:
            how = "ahead of" if ahead > 0 else "behind"
            words = (
                f"this machine's clock is {abs(ahead):.0f} s {how} the database's: nothing is planned or sent"
            )
            raise MustRest(Reason(Kind.CLOCK_OFF, words))
        if presence.gone and await self._service.took_over():
            await self._database.run(claims.end_leases_of_gone, self._clock.now(), presence.gone)


def _failure(error: Exception) -> Reason:
    """Why a tick failed."""
    if not is_database_error(error):
        return Reason(Kind.FAILURE, f"the service fails: {fault(error)}")
    kind = Kind.SIGN_IN if refuses_sign_in(error) else Kind.DATABASE
    return Reason(kind, f"the database does not answer: {fault(error)}")


async def _any_of(*events: asyncio.Event) -> None:
    """Wait for the first of these events."""
    waits = [asyncio.create_task(one.wait()) for one in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for one in waits:
        one.cancel()


def _ends_in_order(job: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """A job without an error when a stop cancels it: APScheduler logs whatever a job raises."""

    @wraps(job)
    async def run() -> None:
        with suppress(asyncio.CancelledError):
            await job()

    return run


async def run_service(settings: Settings, database: Database) -> None:
    """Run `webinar run` until it is stopped. Raises DatabaseInUse, NewerSchema, StatementFails, OSError (a port that
    is taken), DatabaseAway, DBAPIError."""
    raise_descriptors()
    database.hold_for_service()
    clock = SteadyClock()
    runner = Runner(settings, database, clock)
    signals = Signals(runner.reload)
    while await runner.run(signals.stop):
        database.reopen()
        runner = Runner(settings, database, clock, runner.mark)
        signals.reload = runner.reload
