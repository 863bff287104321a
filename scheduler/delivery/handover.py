"""Passes on from one run of a service to the next, in STATE_DIR, the last attempt that the ledger confirmed (`marks`)
and outcomes that could not be recorded (`spool`)."""

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

WRITE_SECONDS = 2.0  # to write the spool: a folder that hangs must not keep the process from ending
READ_SECONDS = 30.0  # to read all spools, at a start
LOOK_SECONDS = 5.0  # between two looks at the folder while the service runs
AFTER_TROUBLE_SECONDS = 30.0  # the same after a failure
LOOKING_SECONDS = 2.0  # for one look, as a tick may wait for it
PATIENCE_SECONDS = 60.0  # without a successful look, after which leases end nevertheless
SPOOLING = "keeping outcomes in STATE_DIR"
READING = "reading STATE_DIR"
HOLD = "restored"
"""A file that requests a hold at the next start: `webinar restored --hold` found a database with an older schema."""


class Handover:
    """The handover between runs of one service, or of several that share the folder."""

    def __init__(
        self,
        state: StateDir,
        database: Database,
        recorder: Recorder,
        holder: int,
        earlier: Mark | None = None,
    ) -> None:
        """`earlier`: the mark of an earlier run in this process, even if its file is gone."""
        self._earlier = [earlier] if earlier else []
        self._state, self._database, self._recorder, self._holder = state, database, recorder, holder
        self._marks = marks.Marks(state, holder, lambda: recorder.known)
        self._ledger: Identity | None = None
        self._aside: tuple[str, ...] = ()
        self._damaged: tuple[str, ...] = ()  # notes about damaged marks, at the start
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
        """The mark of this run; None: its ledger has confirmed nothing yet."""
        known = self._recorder.known
        return Mark(self._ledger.name, known, datetime.now(UTC)) if self._ledger and known else None

    async def take_over(self, now: datetime) -> None:
        """Take over from earlier runs, before anything is claimed and any lease is ended: if the ledger was set back,
        hold the mails that may have gone out since; record the outcomes of spools. Idempotent, in case it is killed.
        Raises DBAPIError, StateUnreadable and StateOfAnother."""
        found, requested = await self._read(lambda: (marks.read(self._state), self._state.has(HOLD)))
        self._damaged = found.notes
        known = [*found.marks.values(), *self._earlier]
        self._ledger = await self._database.run(_hold_if_set_back, known, requested, now)
        ledger = self._ledger.name
        if why := await self._read(lambda: marks.mismatch(self._state, ledger, known)):
            raise marks.StateOfAnother(why)
        with self._troubles.recorded(READING):
            if requested:
                await self._reading.run(lambda: self._state.remove(HOLD))
        contents = await self._read(lambda: spool.read(self._state))
        spools = await self._database.run(spool.compare, contents)
        await self._record(spools)
        if self._recorder.known is None:  # so that it is missed before the first mail of this run
            self._recorder.known = await self._database.run(last_on_record)
        outdated = await self._database.run(marks.outdated, found.marks)
        with self._troubles.recorded(READING):
            await self._put_away(self._reading, spools)
            await self._reading.run(self._state.tidy)
            await self._reading.run(lambda: marks.tidy(self._state, outdated))
        self._marks.start(self._ledger.name)
        self._looked_at = asyncio.get_running_loop().time()
        if self._database.dialect.takes_replicas:
            self.stop_looking()  # of a start that failed
            self._looking = asyncio.create_task(self._keep_looking())

    async def _read(self, read: Callable[[], T]) -> T:
        """Read what is needed before anything is claimed. Raises StateUnreadable if the folder hangs."""
        try:
            return await self._reading.run(read)
        except Hangs:
            raise marks.StateUnreadable(
                f"STATE_DIR ({self._state.folder}) does not answer for {READ_SECONDS:.0f} seconds, so we cannot"
                " know whether the database was set back: is its machine or volume available?"
            ) from None

    async def took_over(self) -> bool:
        """Record the outcomes that other services left in the folder when they ended. Called before their leases end;
        otherwise mails that they sent would be in doubt. False: the folder can't be read yet, so wait."""
        with self._troubles.recorded(READING):
            async with self._one_by_one:
                await self._look()
            self._looked_at = asyncio.get_running_loop().time()
            return True
        return asyncio.get_running_loop().time() - self._looked_at > PATIENCE_SECONDS

    def stop_looking(self) -> None:
        """Stop looking at the folder, before the recorder is abandoned: unrecorded spools stay there."""
        if self._looking:
            self._looking.cancel()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(AFTER_TROUBLE_SECONDS if self._troubles.reasons else LOOK_SECONDS)
            await self.took_over()

    async def _look(self) -> None:
        """Record spools of this ledger. Others are left to a start: a service on another database may want them."""
        contents = await self._looks.run(lambda: spool.read(self._state))
        if not contents:
            return
        found = [one for one in await self._database.run(spool.compare, contents) if one.outcomes]
        await self._record(found)
        await self._put_away(self._looks, found)
        for content in contents.values():
            if isinstance(content, OSError):
                raise content

    async def _record(self, spools: Iterable[Spool]) -> None:
        """Record the outcomes of these spools; idempotent, as another service may do so at the same time."""
        for one in spools:
            if one.file not in self._recorded:
                log.warning("spool", file=one.file, outcomes=len(one.outcomes), kept_aside=one.rest)
                await self._recorder.write(one.outcomes)
                self._recorded.add(one.file)

    async def _put_away(self, files: Aside, spools: Iterable[Spool]) -> None:
        for one in spools:
            await files.run(partial(spool.put_away, self._state, one))
        self._aside = await files.run(lambda: spool.kept_aside(self._state))

    async def leave(self, outcomes: Sequence[Outcome]) -> None:
        """Leave the outcomes that are not on record to the next run."""
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


def _hold_if_set_back(conn: Connection, known: Iterable[Mark], requested: bool, now: datetime) -> Identity:
    mark = marks.missing(conn, known)
    if mark or requested:
        held = restored.hold(conn, now)
        log.error(
            "the database was set back to an earlier state: what may have gone out since is held",
            held=held, known_since=mark.at.isoformat() if mark else None, by_word=requested,
        )  # fmt: skip
    return restored.identity(conn)
