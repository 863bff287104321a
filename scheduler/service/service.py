"""The service: `tick` takes in edits, plans and dispatches, at the time that its caller says it is.

`webinar run` calls it by the system's clock (`service.process`), `webinar rehearse` by a virtual one (`rehearsal`);
nothing else differs between the two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from scheduler import alerts
from scheduler.alerts import AlertKey
from scheduler.clock import Clock
from scheduler.database.engine import Database, execute
from scheduler.delivery.asked_for import AskedFor
from scheduler.delivery.dispatcher import Dispatcher
from scheduler.delivery.handover import Handover
from scheduler.delivery.marks import Mark
from scheduler.delivery.relay import Relay
from scheduler.delivery.sender import Job
from scheduler.governing.governor import Governor
from scheduler.governing.notices import Notice, notices, reconcile_notices
from scheduler.governing.revisions import bring_up_to_date
from scheduler.governing.webinars import decide_again
from scheduler.ledger import claims, loading, restored, settling, statements
from scheduler.ledger.loading import Loading
from scheduler.pulling.puller import Puller
from scheduler.readiness import Kind, Readiness, Reason, reasons
from scheduler.registrants.triggers import check_intake
from scheduler.reports.reasons import (
    relay_alert,
    relay_takes_no_mail,
    replica_notes,
    row_notes,
    set_back,
    still_loading,
)
from scheduler.service.alerting import RELAY, Notifier
from scheduler.service.planner import Planner
from scheduler.service.purger import Purger
from scheduler.settings import Settings
from scheduler.state_dir import StateDir
from scheduler.troubles import Troubles
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import knowledge_version, tz_version

log = structlog.get_logger()

CLOSE_SECONDS = 3.0  # for closing connections at a stop
PLAN_SECONDS = 1.0  # in one tick; then edits are taken in again
PURGE_SECONDS = 0.2  # in one tick, beside planning
CHECK_SECONDS = 60.0  # between two checks of the triggers and all rows of `registrants`
REPLICAS_EVERY = timedelta(minutes=1)  # files that differ are a note after a minute


class MustRest(Exception):
    """This service may neither plan nor send now."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.words)
        self.reason = reason


class Service:
    """All parts of a running service, over one database and its relays."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clock: Clock,
        *,
        drafts_too: bool = False,
        holder: int = 0,
        hands_over: bool = False,
        earlier: Mark | None = None,
    ) -> None:
        """`holder`: the number of this service among the replicas (`database.presence`). `hands_over`: whether
        it leaves what it knows to the next run, in STATE_DIR; a rehearsal has none. `earlier`: what another run in this
        process knew of the ledger."""
        self._settings, self._database, self._clock = settings, database, clock
        state = StateDir(settings.state_dir)
        self._relays = [Relay.of(one, database, state) for one in settings.relays]
        self.governor = Governor(settings, database, drafts_too=drafts_too, holder=holder, waits=drafts_too)
        self._holder = holder
        self.dispatcher = Dispatcher(database, clock, self._relays, settings.only_to_allows, holder)
        recorder = self.dispatcher.recorder
        self._handover = Handover(state, database, recorder, holder, earlier) if hands_over else None
        self._drafts_too = drafts_too
        self._purger = Purger(database)
        self._puller = Puller(database, clock) if hands_over else None
        self._planner = Planner(
            database, clock, settings.return_within, self.dispatcher.wake, alone=drafts_too
        )
        self._notifier = Notifier(database, self._relays, settings.only_to_allows, self._stands)
        self._asked_for = AskedFor(database, clock, self._relays, settings.only_to_allows)
        self._notifying: asyncio.Task[None] | None = None
        self._sending_asked: asyncio.Task[None] | None = None
        self._row_notes: tuple[Reason, ...] = ()
        self._replica_notes: tuple[Reason, ...] = ()
        self._replicas_again_at: datetime | None = None
        self._intake: tuple[Reason, ...] = ()  # why changes of `registrants` are not noticed
        self._checking: asyncio.Task[None] | None = None
        self._check_again = 0.0
        self._notices: tuple[Notice, ...] = ()
        self._restored = 0  # deliveries held because the database was set back
        self._loading = Loading()
        self._notified_of: dict[str, frozenset[str]] = {}
        self._troubles = Troubles()

    @property
    def mark(self) -> Mark | None:
        """What it knows of the ledger, for a run that takes its place."""
        return self._handover.mark if self._handover else None

    @property
    def relays(self) -> Sequence[Relay]:
        return self._relays

    async def start(self) -> None:
        """Bring the schema up to date, recover what an earlier process left, and read the organizers' files.

        Raises NewerSchema, StatementFails, DBAPIError.
        """
        await asyncio.to_thread(self._database.migrate)
        await self._database.run(statements.check)
        now = self._clock.now()
        if self._handover:
            await self._handover.take_over(now)
        if not self._database.dialect.takes_replicas:
            await self._database.run(claims.end_leases, now)
        await self._database.run(settling.release_held_by_config, now)
        await self.governor.start(now)
        await self._check_intake()
        log.info("started", tz_database=tz_version(), webinars=len(self.governor.catalogue.governing))

    async def tick(self, now: datetime) -> bool:
        """Bring the ledger up to date with `now`, planning for a second at most; due mails leave meanwhile. Returns
        whether there is more to plan.

        Raises DBAPIError when the database does not answer, LedgerTrouble while outcomes wait to be written, MustRest.
        """
        recorder = self.dispatcher.recorder
        await recorder.until_recorded()
        recorder.has_held |= await self._database.run(_looked_around)
        await self._govern(now)
        await self._settle(now)
        more = await self._planner.plan(self.governor.catalogue.governing, PLAN_SECONDS)
        if recorder.has_held and self._loading.is_over(asyncio.get_running_loop().time()) and not more:
            await self._database.run(restored.hold_planned, self._clock.now())
            recorder.has_held = False
            self._loading.end()
            self._hand_over()
        await self._note_notices(now)
        await self._note_troubles(now)
        more |= await self._purge(now)
        if time.monotonic() > self._check_again and (self._checking is None or self._checking.done()):
            self._checking = asyncio.create_task(self._check_intake())
        self.dispatcher.wake()
        self.dispatcher.look_at_files()
        if self._puller:
            await self._puller.look(self.governor.catalogue.governing)
        self._send_to_organizers(now, list(self.governor.catalogue.webinars.values()))
        return more

    async def plan_rows(self) -> bool:
        """The part of a tick that rows of `registrants` need, where nothing else can have changed since the last one:
        plan for a second, and let what is due leave. Returns whether there is more to plan."""
        more = await self._planner.plan(self.governor.catalogue.governing, PLAN_SECONDS)
        self.dispatcher.wake()
        return more

    async def send_due(self) -> datetime | None:
        """Send what is due now, without waiting for planning; returns `next_wake()`."""
        self.dispatcher.wake()
        return await self.next_wake()

    async def next_wake(self) -> datetime | None:
        """The next instant (UTC) at which a mail is due or a relay is tried again; None: there is none."""
        now = self._clock.now()
        wake = await self._database.run_sending(claims.next_wake, now)
        paused = self.dispatcher.paused_until
        return min((one for one in (wake, paused) if one and one > now), default=None)

    async def _govern(self, now: datetime) -> None:
        """Take in what was edited, then go by what governs."""
        await self.governor.poll(now)
        try:
            await self._database.run(self._let_govern, now)
        except BaseException:
            self.governor.revisions.forget()
            raise
        governing = await self._database.run(self.governor.revisions.governing)
        self.governor.adopt(governing)
        self._hand_over()

    def _let_govern(self, conn: Connection, now: datetime) -> None:
        revisions, return_within = self.governor.revisions, self._settings.return_within
        decide_again(conn, now, revisions, self.governor.catalogue, self._holder, return_within)
        bring_up_to_date(conn, now, revisions)

    def _hand_over(self) -> None:
        """Give the dispatcher what governs. Nothing goes out while a database that was set back may lack people whose
        mails went out: not until those are planned and held."""
        live = set() if self.dispatcher.recorder.has_held else set(self.governor.live)
        catalogue = self.governor.catalogue
        self.dispatcher.job = Job(
            catalogue.webinars,
            live,
            self.governor.texts,
            catalogue.revisions,
            self.governor.revisions.version,
            self._drafts_too,
            self._settings.pages_url,
        )
        self.dispatcher.wake()

    async def _check_intake(self) -> None:
        """Check that changes of `registrants` are noticed; beside planning, since it reads the whole table."""
        with self._troubles.recorded("checking registrants"):
            self._intake = await asyncio.to_thread(check_intake, self._database)
        self._check_again = time.monotonic() + CHECK_SECONDS

    async def _settle(self, now: datetime) -> None:
        with self._troubles.recorded("settling"):
            await self._database.run(settling.resolve_doubts, now, self.governor.catalogue.webinars)
            while await self._database.run(settling.expire, now) == settling.MANY:
                pass

    async def _purge(self, now: datetime) -> bool:
        with self._troubles.recorded("removing personal data"):
            return await self._purger.purge(now, PURGE_SECONDS)
        return False

    def reload(self) -> None:
        """Read folders and secrets again at the next tick, even if they seem unchanged."""
        self.governor.read_again()

    def rest(self) -> None:
        """Claim nothing until the next tick; claimed mails still go out."""
        self.dispatcher.job = replace(self.dispatcher.job, live=frozenset())

    async def settled(self) -> None:
        """Wait until everything that is due now has its outcome."""
        await self.dispatcher.until_idle()
        if self._notifying:
            await self._notifying

    async def took_over(self) -> bool:
        """Whether the outcomes that stopped services left in STATE_DIR are on record, so that their leases may be
        ended."""
        return self._handover is None or await self._handover.took_over()

    async def stop(self) -> None:
        """Begin no new mail, give mails on the wire DRAIN_SECONDS, and leave the others in doubt."""
        await self.governor.stop()
        if self._puller:
            await self._puller.stop()
        if self._handover:
            self._handover.stop_looking()
        left = await self.dispatcher.drain(self._settings.drain_seconds)
        if self._handover:
            await self._handover.leave(left)
        last = [*filter(None, [self._notifying, self._sending_asked])]
        for task in last:
            task.cancel()
        closing = [asyncio.create_task(relay.pool.close()) for relay in self._relays]
        tasks = [*filter(None, [self._checking]), *last, *closing]
        await asyncio.wait(tasks, timeout=CLOSE_SECONDS)  # the database may not answer

    def readiness(self) -> Readiness:
        """Whether the next mail would go out, as far as the service knows."""
        trouble, recorder = self.dispatcher.trouble, self.dispatcher.recorder
        return Readiness((
            *self.dispatcher.troubles,
            *self._planner.troubles,
            *self._intake,
            *self._troubles.reasons,
            *([still_loading(loading.SECONDS)] if recorder.has_held else []),
            *([relay_takes_no_mail(trouble)] if trouble else []),
            *([set_back(self._restored)] if self._restored else []),
            *reasons(Kind.NOTICE, [one.words for one in self._notices]),
            *self._replica_notes,
            *self._row_notes,
            *self.dispatcher.notes,
            *self._purger.notes,
            *(self._puller.notes if self._puller else ()),
            *self.governor.reasons,
            *(self._handover.notes if self._handover else ()),
        ))  # fmt: skip

    def _send_to_organizers(self, now: datetime, webinars: list[Webinar]) -> None:
        """Send alerts and test mails beside the tick: a slow relay must not keep the planner waiting."""
        if self._notifying is None or self._notifying.done():
            self._notifying = asyncio.create_task(self._notify(now, webinars))
        if self._sending_asked is None or self._sending_asked.done():
            self._sending_asked = asyncio.create_task(self._send_asked())

    async def _note_notices(self, now: datetime) -> None:
        """Raise one alert for each edit that waits."""
        found = await self._database.run(
            notices, now, self.governor.revisions, self._settings.return_within, self._notices
        )
        if found != self._notices:
            await self._database.run(reconcile_notices, now, found)
        self._notices = found

    async def _note_troubles(self, now: datetime) -> None:
        self._row_notes = await self._database.run(row_notes)
        if self._replicas_again_at is None or now >= self._replicas_again_at:
            self._replica_notes = await self._database.run(replica_notes, now)
            self._replicas_again_at = now + REPLICAS_EVERY
        self._restored = await self._database.run(restored.count)
        await self._note(now, RELAY, relay_alert(self.dispatcher.trouble) if self.dispatcher.stopped else "")
        await self._note(now, "ledger restored", str(set_back(self._restored)) if self._restored else "")

    async def _notify(self, now: datetime, webinars: list[Webinar]) -> None:
        with self._troubles.recorded("writing to organizers"):
            await self._notifier.notify(now, webinars)

    async def _send_asked(self) -> None:
        with self._troubles.recorded("sending mails of the outbox"):
            await self._asked_for.send()

    def _stands(self, key: str) -> bool:
        """Whether an alert of this service is still true. Only the replica that raised one may clear it."""
        return key != RELAY or not self._notified_of.get(RELAY) or self.dispatcher.stopped

    async def _note(self, now: datetime, key: str, words: str) -> None:
        """Raise an alert for the organizers of the live webinars, or clear it where `words` is empty."""
        webinars = self.governor.catalogue.webinars
        told = frozenset(webinars[name].alert_to for name in self.governor.live) if words else frozenset()
        if told == self._notified_of.get(
            key
        ):  # a replica without the problem must not clear the alert of another one
            return
        await self._database.run(
            alerts.reconcile, now, {AlertKey(key, address): words for address in told}, key
        )
        self._notified_of[key] = told


def _looked_around(conn: Connection) -> bool:
    """Whether what is planned now is to be held. Raises MustRest beside a newer tz database."""
    newest = execute(conn, "SELECT max(tz_version) FROM service").scalar() or ""
    if newest > knowledge_version():
        words = f"this service has tz database {knowledge_version()}, another one {newest}: it neither plans nor sends"
        raise MustRest(Reason(Kind.TZ_DATABASE, words))
    return restored.holds_planned(conn)
