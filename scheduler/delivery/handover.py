"""What one run of a service leaves to the next in STATE_DIR: the last that the ledger confirmed, and what could not be
written there any more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import Connection

from scheduler.aside import Aside
from scheduler.database.engine import Database
from scheduler.delivery import marks, spool
from scheduler.delivery.recorder import Recorder
from scheduler.ledger import restored
from scheduler.ledger.outcomes import Outcome
from scheduler.ledger.restored import Identity
from scheduler.ledger.states import State
from scheduler.state_dir import StateDir
from scheduler.troubles import Troubles

log = structlog.get_logger()

WRITE_SECONDS = 2.0  # for the spool: a folder that hangs does not keep the process
SPOOLING = "keeping outcomes in STATE_DIR"
READING = "reading STATE_DIR"
HOLD = "restored"
"""A file: `webinar restored --hold` was called for a database that only a start can bring up to date."""


class Handover:
    """Between the runs of one service, or of several that share the folder."""

    def __init__(self, state: StateDir, database: Database, recorder: Recorder, holder: int) -> None:
        self._state, self._database, self._recorder, self._holder = state, database, recorder, holder
        self._marks = marks.Marks(state, holder, lambda: recorder.known)
        self._ledger: Identity | None = None
        self._aside: tuple[str, ...] = ()
        self._files = Aside("STATE_DIR", WRITE_SECONDS)
        self._troubles = Troubles()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know; none of it keeps a mail."""
        return (*self._troubles.words, *self._marks.troubles, *self._aside)

    async def take(self, now: datetime) -> None:
        """Take over from earlier runs, before anything is claimed and any lease is ended. Where the ledger was set back
        meanwhile, hold what may have gone out since; else record what they could not. Killed in the middle, it does the
        same again without harm. Raises DBAPIError, and StateUnreadable."""
        self._ledger = await self._database.run(_missed, self._state, now)
        with self._troubles.told(READING):
            await asyncio.to_thread(self._state.remove, HOLD)
        for one in await self._database.run(spool.read, self._state):
            log.warning("spool", file=one.file, outcomes=len(one.outcomes), kept_aside=one.rest)
            await self._recorder.write(one.outcomes)
            with self._troubles.told(READING):
                await asyncio.to_thread(spool.done, self._state, one)
        with self._troubles.told(READING):
            self._aside = spool.kept_aside(self._state)
            await self._database.run(marks.tidy, self._state)
        self._marks.start(self._ledger.name)

    async def leave(self, outcomes: Sequence[Outcome]) -> None:
        """For the next run: these are not on record."""
        await self._marks.stop(WRITE_SECONDS)
        if not outcomes or self._ledger is None:
            return
        sent = [one.claimed.id for one in outcomes if one.state is State.SENT]
        with self._troubles.told(SPOOLING):
            known = self._recorder.known
            ledger = Identity(
                self._ledger.name, known.restorations if known else self._ledger.restorations, False
            )
            file = await self._files.run(lambda: spool.write(self._state, self._holder, ledger, outcomes))
            log.warning("the ledger can't be written: outcomes kept for the next start", file=file, sent=sent)
            return
        log.error("outcomes are lost: those that were on the wire will be in doubt", sent=sent)


def _missed(conn: Connection, state: StateDir, now: datetime) -> Identity:
    mark, said = marks.lost(conn, state), state.path(HOLD).exists()  # whoever may read it, it is there
    if mark or said:
        held = restored.hold(conn, now)
        log.error(
            "the database was set back to an earlier state: what may have gone out since is held",
            held=held, known_since=mark.at.isoformat() if mark else None, by_word=said,
        )  # fmt: skip
    return restored.identity(conn)
