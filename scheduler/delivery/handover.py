"""What one run of a service leaves in STATE_DIR to the next, or to others that share it: the last that the ledger
confirmed, and what could not be written there any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from scheduler.aside import Aside, Hangs
from scheduler.database.engine import Database
from scheduler.delivery import marks, spool
from scheduler.delivery.marks import Mark
from scheduler.delivery.recorder import Recorder, last_on_record
from scheduler.delivery.spool import Spool
from scheduler.ledger import restored
from scheduler.ledger.entries import Outcome
from scheduler.ledger.restored import Identity
from scheduler.ledger.states import State
from scheduler.readiness import Kind, Reason, reasons
from scheduler.state_dir import StateDir
from scheduler.troubles import Troubles

T = TypeVar("T")

log = structlog.get_logger()

WRITE_SECONDS = 2.0  # for the spool: a folder that hangs does not keep the process
READ_SECONDS = 30.0  # for all spools, at a start
LOOK_SECONDS = 5.0  # between two looks at the folder while the service runs
AFTER_TROUBLE_SECONDS = 30.0  # the same after one that failed
LOOKING_SECONDS = 2.0  # for one, as a tick may wait for it
PATIENCE_SECONDS = 60.0  # without a look that succeeded: then leases end all the same
SPOOLING = "keeping outcomes in STATE_DIR"
READING = "reading STATE_DIR"
HOLD = "restored"
"""A file: `webinar restored --hold` was called for a database that only a start can bring up to date."""


class Handover:
    """Between the runs of one service, or of several that share the folder."""

    def __init__(
        self,
        state: StateDir,
        database: Database,
        recorder: Recorder,
        holder: int,
        earlier: Mark | None = None,
    ) -> None:
        """`earlier`: what an earlier run in this process knew, whatever became of its file."""
        self._earlier = [earlier] if earlier else []
        self._state, self._database, self._recorder, self._holder = state, database, recorder, holder
        self._marks = marks.Marks(state, holder, lambda: recorder.known)
        self._ledger: Identity | None = None
        self._aside: tuple[str, ...] = ()
        self._damaged: tuple[str, ...] = ()  # marks, at the start
        self._writing, self._reading = Aside("STATE_DIR", WRITE_SECONDS), Aside("STATE_DIR", READ_SECONDS)
        self._looks = Aside("STATE_DIR", LOOKING_SECONDS)
        self._one_by_one = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = 0.0  # on the loop's clock
        self._recorded: set[str] = set()  # files of spools, which may still be there
        self._troubles = Troubles(Kind.STATE)

    @property
    def notes(self) -> tuple[Reason, ...]:
        """What a person should know; none of it keeps a mail."""
        found = (*self._damaged, *self._aside)
        return (*self._troubles.reasons, *self._marks.troubles, *reasons(Kind.STATE, found))

    @property
    def mark(self) -> Mark | None:
        """What this run knows of its ledger."""
        known = self._recorder.known
        return Mark(self._ledger.name, known, datetime.now(UTC)) if self._ledger and known else None

    async def take(self, now: datetime) -> None:
        """Take over from earlier runs, before anything is claimed and any lease is ended. Where the ledger was set back
        meanwhile, hold what may have gone out since; else record what they could not. Killed in the middle, it does the
        same again without harm. Raises DBAPIError, StateUnreadable and StateOfAnother."""
        found, said = await self._read(lambda: (marks.read(self._state), self._state.has(HOLD)))
        self._damaged = found.notes
        there = [*found.marks.values(), *self._earlier]
        self._ledger = await self._database.run(_missed, there, said, now)
        ledger = self._ledger.name
        if why := await self._read(lambda: marks.another(self._state, ledger, there)):
            raise marks.StateOfAnother(why)
        with self._troubles.recorded(READING):
            if said:
                await self._reading.run(lambda: self._state.remove(HOLD))
        contents = await self._read(lambda: spool.read(self._state))
        spools = await self._database.run(spool.compared, contents)
        await self._record(spools)
        if self._recorder.known is None:  # or nobody would miss it before the first mail of this run
            self._recorder.known = await self._database.run(last_on_record)
        outdated = await self._database.run(marks.outdated, found.marks)
        with self._troubles.recorded(READING):
            await self._put_away(self._reading, spools)
            await self._reading.run(self._state.tidy)
            await self._reading.run(lambda: marks.tidy(self._state, outdated))
        self._marks.start(self._ledger.name)
        self._looked_at = asyncio.get_running_loop().time()
        if self._database.dialect.takes_replicas:
            self.stop_looking()  # a start that was tried before
            self._looking = asyncio.create_task(self._keep_looking())

    async def _read(self, read: Callable[[], T]) -> T:
        """What must be known before anything is claimed."""
        try:
            return await self._reading.run(read)
        except Hangs:
            raise marks.StateUnreadable(
                f"STATE_DIR ({self._state.folder}) does not answer for {READ_SECONDS:.0f} seconds, so nobody can tell"
                " whether the database was set back: is the machine or the volume that holds it there?"
            ) from None

    async def took_over(self) -> bool:
        """Record what services that have ended meanwhile left in the folder. Called before the leases of one are ended,
        or what it had sent would be in doubt. False: the folder can't be read now, and is waited for."""
        with self._troubles.recorded(READING):
            async with self._one_by_one:
                await self._look()
            self._looked_at = asyncio.get_running_loop().time()
            return True
        return asyncio.get_running_loop().time() - self._looked_at > PATIENCE_SECONDS

    def stop_looking(self) -> None:
        """Before the recorder is abandoned: what it was given meanwhile is in its spool still."""
        if self._looking:
            self._looking.cancel()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(AFTER_TROUBLE_SECONDS if self._troubles.reasons else LOOK_SECONDS)
            await self.took_over()

    async def _look(self) -> None:
        """What does not fit this ledger is left to a start: a service on another database may come back for it."""
        contents = await self._looks.run(lambda: spool.read(self._state))
        if not contents:
            return
        found = [one for one in await self._database.run(spool.compared, contents) if one.outcomes]
        await self._record(found)
        await self._put_away(self._looks, found)
        for content in contents.values():
            if isinstance(content, OSError):
                raise content

    async def _record(self, spools: Iterable[Spool]) -> None:
        """Where two services do so at once, the second one changes nothing."""
        for one in spools:
            if one.file not in self._recorded:
                log.warning("spool", file=one.file, outcomes=len(one.outcomes), kept_aside=one.rest)
                await self._recorder.write(one.outcomes)
                self._recorded.add(one.file)

    async def _put_away(self, files: Aside, spools: Iterable[Spool]) -> None:
        for one in spools:
            await files.run(partial(spool.done, self._state, one))
        self._aside = await files.run(lambda: spool.kept_aside(self._state))

    async def leave(self, outcomes: Sequence[Outcome]) -> None:
        """For the next run: these are not on record."""
        await self._marks.stop(WRITE_SECONDS)
        if not outcomes or self._ledger is None:
            return
        sent = [one.claimed.id for one in outcomes if one.state is State.SENT]
        with self._troubles.recorded(SPOOLING):
            known = self._recorder.known
            ledger = Identity(
                self._ledger.name, known.restorations if known else self._ledger.restorations, False
            )
            file = await self._writing.run(lambda: spool.write(self._state, self._holder, ledger, outcomes))
            log.warning("the ledger can't be written: outcomes kept for the next start", file=file, sent=sent)
            return
        log.error("outcomes are lost: those that were on the wire will be in doubt", sent=sent)


def _missed(conn: Connection, known: Iterable[Mark], said: bool, now: datetime) -> Identity:
    mark = marks.lost(conn, known)
    if mark or said:
        held = restored.hold(conn, now)
        log.error(
            "the database was set back to an earlier state: what may have gone out since is held",
            held=held, known_since=mark.at.isoformat() if mark else None, by_word=said,
        )  # fmt: skip
    return restored.identity(conn)
