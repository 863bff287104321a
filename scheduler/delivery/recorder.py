"""Group commit: all starts and outcomes that are written at about the same time share one transaction."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, select

from scheduler import metrics
from scheduler.database.engine import Database, execute
from scheduler.database.models import Attempt, Delivery
from scheduler.faults import blames_values, fault
from scheduler.ledger import restored
from scheduler.ledger.entries import Lease, Outcome, Start, personal
from scheduler.ledger.outcomes import begin, conclude
from scheduler.ledger.refusals import RefusalStreak
from scheduler.ledger.retention import was_removed_since
from scheduler.ledger.states import State, Why
from scheduler.smtp.replies import queue_id

log = structlog.get_logger()

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.2, 10.0  # doubled each time, with jitter
SILENT_SECONDS = 10.0  # for one transaction, before it is reported as trouble
GATHER_SECONDS = 0.003  # how long a transaction waits for other writers to join it
MOST = 0.8  # it stops waiting once this share of the writers of the last transaction has joined


class LedgerTrouble(Exception):
    """The ledger cannot be written now; the reason is without personal data."""


@dataclass
class _Group:
    starts: list[Start] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    writers: int = 0
    written: asyncio.Future[set[int]] | None = None


@dataclass(frozen=True)
class Known:
    """The last attempt that the database confirmed to us, and whether it had its outcome. While the database still has
    it, it has everything that was confirmed before."""

    delivery: int
    token: str
    webinar: str
    due_at: datetime
    has_outcome: bool
    restorations: int
    """The number of restorations of the ledger at that time (`ledger.restored`)."""


class Recorder:
    """Writes starts and outcomes to the ledger, together, and tries again until it succeeds: a mail that was sent and
    not recorded would be sent again. Only an entry that the database refuses for its values is given up."""

    def __init__(
        self,
        database: Database,
        hold: Callable[[Connection], object] = lambda conn: None,
        given_up: Callable[[Lease], None] = lambda claimed: None,
        refused_alike: Callable[[RefusalStreak], None] = lambda run: None,
    ) -> None:
        """`hold`: called in a transaction that finds the database set back to an earlier state, to hold the mails that
        may have gone out. `given_up`: called when the database refuses the outcome of a mail for its values.
        `refused_alike`: called when so many recipients in a row were refused alike that none is given up."""
        self.trouble = ""  # why the ledger cannot be written now
        self.is_set_back = False  # the database has lost what it confirmed: the next transaction calls `hold`
        self.has_held = False  # `hold` was called
        self._database, self._hold, self._given_up = database, hold, given_up
        self._refused_alike = refused_alike
        self.known: Known | None = None
        self._next = _Group()
        self._group: _Group | None = None  # being written
        self._writers = 1  # of the last transaction, and those that came during it
        self._enough, self._tried = asyncio.Event(), asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    async def write(self, outcomes: Iterable[Outcome], starts: Iterable[Start] = ()) -> set[int]:
        """Make these starts and outcomes durable. Returns the ids of the starts that are `sending` now, and ours to
        send."""
        outcomes, starts = list(outcomes), list(starts)
        if not (outcomes or starts):  # nothing to wait for
            return set()
        group = self._next
        group.outcomes += outcomes
        group.starts += starts
        group.writers += 1
        if group.writers >= MOST * self._writers:
            self._enough.set()
        # Shielded: a waiter that is cancelled must not cancel the others of its group.
        return await asyncio.shield(self.caught_up())

    async def until_recorded(self) -> None:
        """Wait until all earlier entries are on record, and the ledger was found to have what it confirmed, or `hold`
        was called. Raises LedgerTrouble if it cannot be written now."""
        written = self.caught_up()
        while not written.done():
            if self.trouble:
                raise LedgerTrouble(self.trouble)
            self._tried.clear()
            await self._tried.wait()

    def abandon(self) -> list[Outcome]:
        """Stop writing. Returns the outcomes that may not be on record, to be recorded later; a mail that was about to
        begin was not sent."""
        if self._writing:
            self._writing.cancel()
        groups = [*filter(None, [self._group]), self._next]
        outcomes = (one for group in groups for one in group.outcomes)
        left = list(dict.fromkeys(outcomes))  # a cancelled writer has written twice
        begun = [one for group in groups for one in group.starts]
        return left + [Outcome(one.claimed, State.PENDING, one.at, "not_sent", counts=False) for one in begun]

    def caught_up(self) -> asyncio.Future[set[int]]:
        """A future that is done once all earlier entries are on record."""
        group = self._next
        if group.written is None:
            group.written = asyncio.get_running_loop().create_future()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return group.written

    async def _write(self) -> None:
        """Write until nothing is left; after a failure, try again with the same group."""
        failures = 0
        while self._group or self._next.written:
            try:
                if self._group is None:
                    await self._gather()
                    self._group, self._next = self._next, _Group()
                silent = asyncio.get_running_loop().call_later(SILENT_SECONDS, self._is_silent)
                try:
                    begun = await self._commit(self._group)
                finally:
                    silent.cancel()
            except Exception as error:
                failures += 1
                self.trouble = f"the ledger can't be written: {fault(error)}"
                self._tried.set()
                log.error("ledger not written, trying again", error=fault(error))
                longest = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures, 10))
                await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 (jitter, no secret)
                continue
            failures, self.trouble = 0, ""
            group, self._group = self._group, None
            self._writers = max(1, group.writers + self._next.writers)
            if group.written:
                group.written.set_result(begun)
            self._tried.set()

    def _is_silent(self) -> None:
        self.trouble = "the ledger can't be written: the database does not answer"
        self._tried.set()
        log.error("ledger not written yet", error="the database does not answer", seconds=SILENT_SECONDS)

    async def _gather(self) -> None:
        """Wait for other writers: many small transactions cost more than one."""
        if 0 < self._next.writers < MOST * self._writers:
            self._enough.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._enough.wait()

    async def _commit(self, group: _Group) -> set[int]:
        """Write a group. If the database refuses its values, write each entry in a transaction of its own."""
        try:
            return await self._record(group.starts, group.outcomes)
        except Exception as error:
            if not blames_values(error):
                raise
            entries = [_Group(outcomes=[one]) for one in group.outcomes]
            entries += [_Group(starts=[one]) for one in group.starts]
            if len(entries) == 1:
                return await self._record_refused(entries[0], error)
        return {begun for entry in entries for begun in await self._commit(entry)}

    async def _record_refused(self, entry: _Group, refusal: Exception) -> set[int]:
        """Write an entry without the values that may be refused: hold a mail that can't begin, and record an outcome
        without the relay's words."""
        plain = [
            *(Outcome(one.claimed, State.HELD, one.at, "not_sent", Why.DATA, counts=False) for one in entry.starts),
            *(replace(one, reply="") for one in entry.outcomes),
        ]  # fmt: skip
        log.error("ledger refuses an entry", error=fault(refusal), delivery=plain[0].claimed.id)
        try:
            await self._record([], plain)
        except Exception as error:
            if not blames_values(error):
                raise
            self._given_up(plain[0].claimed)
        return set()

    async def _record(self, starts: list[Start], outcomes: list[Outcome]) -> set[int]:
        is_set_back, self.is_set_back = self.is_set_back, False
        if not (starts or outcomes or self.known or is_set_back):
            return set()
        try:
            with metrics.RECORDING.time():
                written = await self._database.run_sending(
                    _record, starts, outcomes, self.known, is_set_back, self._hold
                )
        except BaseException:
            self.is_set_back = self.is_set_back or is_set_back
            raise
        self.known = written.known
        for refusal in written.in_a_row:
            self._refused_alike(refusal)
        if written.held:
            self.has_held = True
            log.error("the database was set back to an earlier state: what may have gone out is held")
        if sent := [one for one in outcomes if one.state is State.SENT]:
            log.info(
                "sent",
                deliveries=[one.claimed.id for one in sent],
                queue_ids=[queue_id(one.reply, *personal(one.claimed)) for one in sent],
            )
        return written.begun


class _Written(NamedTuple):
    """The result of one transaction."""

    begun: set[int]
    """The starts that are ours to send."""
    known: Known | None
    """The last attempt that is confirmed once this is committed."""
    held: bool
    """Whether the database was set back, and `hold` was called."""
    in_a_row: list[RefusalStreak]
    """Refusals that are not about their recipients."""


def _record(
    conn: Connection,
    starts: list[Start],
    outcomes: list[Outcome],
    known: Known | None,
    is_set_back: bool,
    hold: Callable[[Connection], object],
) -> _Written:
    restorations, is_confirmed = _look_up(conn, known)
    is_set_back = is_set_back or not is_confirmed
    in_a_row = conclude(conn, outcomes)
    if is_set_back:
        hold(conn)
        known, restorations = None, restored.identity(conn).restorations
    begun = begin(conn, starts)
    begins = [one.claimed for one in starts if one.claimed.id in begun]
    ends = [one.claimed for one in outcomes if one.attempt != "not_sent"]
    if begins or ends:
        last = _known((begins or ends)[0], not begins, restorations)
        if begins or has(conn, last):
            known = last
    return _Written(begun, known, is_set_back, in_a_row)


def _known(lease: Lease, has_outcome: bool, restorations: int) -> Known:
    return Known(lease.id, lease.token, lease.webinar, lease.due_at, has_outcome, restorations)


def last_on_record(conn: Connection) -> Known | None:
    """The last attempt in the ledger, of any service; None: there was none."""
    a, d = Attempt.__table__, Delivery.__table__  # type: ignore[attr-defined]
    row = conn.execute(
        select(a.c.delivery_id, a.c.lease_token, a.c.outcome, d.c.webinar, d.c.due_at)
        .join_from(a, d, a.c.delivery_id == d.c.id)
        .where(d.c.due_at.is_not(None))
        .order_by(a.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    restorations = restored.identity(conn).restorations
    return Known(row.delivery_id, row.lease_token, row.webinar, row.due_at, row.outcome != "", restorations)


def has(conn: Connection, known: Known) -> bool:
    """Whether the ledger still has this attempt, with its outcome."""
    return _look_up(conn, known)[1]


def _look_up(conn: Connection, known: Known | None) -> tuple[int, bool]:
    """The number of restorations of the ledger (`ledger.restored`), and whether it still has this attempt."""
    row = execute(
        conn,
        "SELECT (SELECT restorations FROM ledger) AS restorations, (SELECT outcome FROM attempt"
        " WHERE delivery_id = :id AND lease_token = :token) AS outcome",
        id=known.delivery if known else 0,
        token=known.token if known else "",
    ).one()
    if known is None:
        is_confirmed = True
    elif row.outcome is None:
        is_confirmed = was_removed_since(conn, known.webinar, known.due_at)
    else:
        is_confirmed = row.outcome != "" or not known.has_outcome
    return row.restorations or 0, is_confirmed
