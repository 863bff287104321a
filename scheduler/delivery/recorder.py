"""Group commit: whatever must be durable next goes into one transaction with what came in meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from sqlalchemy import Connection, select

from scheduler import metrics
from scheduler.database.engine import Database, execute
from scheduler.database.models import Attempt, Delivery, table
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
SILENT_SECONDS = 10.0  # for one transaction; then people should know, and whoever waits for it
GATHER_SECONDS = (
    0.003  # how long a transaction waits for other writers to join it: they make it hardly longer
)
MOST = 0.8  # it stops waiting once this share of the writers of the last transaction has joined


class LedgerTrouble(Exception):
    """The ledger cannot be written now, for a reason in words without personal data."""


@dataclass
class _Group:
    starts: list[Start] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    writers: int = 0
    written: asyncio.Future[set[int]] | None = None


@dataclass(frozen=True)
class Known:
    """What the database has confirmed to us last: this attempt, and whether it had its outcome. As long as it is there,
    so is everything that was confirmed before."""

    delivery: int
    token: str
    webinar: str
    due_at: datetime
    has_outcome: bool
    restorations: int
    """Of the ledger (`ledger.restored`), as it was then."""


class Recorder:
    """Writes starts and outcomes to the ledger, together. None is given up but one that the database refuses for its
    values: a mail that was sent and not recorded would be sent again."""

    def __init__(
        self,
        database: Database,
        hold: Callable[[Connection], object] = lambda conn: None,
        given_up: Callable[[Lease], None] = lambda claimed: None,
        refused_alike: Callable[[RefusalStreak], None] = lambda run: None,
    ) -> None:
        """`hold` keeps back what may have gone out, in a transaction that finds the database set back to an earlier
        state. `given_up` is called when the database refuses the outcome of a mail altogether, `refused_alike` when
        many recipients in a row were refused alike, for which none of them is given up."""
        self.trouble = ""  # why the ledger cannot be written now
        self.is_set_back = False  # the database has lost what it confirmed: the next transaction holds
        self.has_held = False  # and one has
        self._database, self._hold, self._given_up = database, hold, given_up
        self._refused_alike = refused_alike
        self.known: Known | None = None
        self._next = _Group()
        self._group: _Group | None = None  # being written
        self._writers = 1  # who wrote, or came meanwhile, the last time
        self._enough, self._tried = asyncio.Event(), asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    async def write(self, outcomes: Iterable[Outcome], starts: Iterable[Start] = ()) -> set[int]:
        """Both are durable when this returns. Returns the ids of the starts that are ours to send: `sending` now."""
        outcomes, starts = list(outcomes), list(starts)
        if not (outcomes or starts):  # nothing to wait for, whatever others write
            return set()
        group = self._next
        group.outcomes += outcomes
        group.starts += starts
        group.writers += 1
        if group.writers >= MOST * self._writers:
            self._enough.set()
        # Shielded: one waiter that is cancelled takes nothing from the others of its group.
        return await asyncio.shield(self.caught_up())

    async def settled(self) -> None:
        """Wait until what came before is on record, and the ledger was seen to have what it confirmed, or `hold` was
        called. Raises LedgerTrouble when it cannot be written now."""
        written = self.caught_up()
        while not written.done():
            if self.trouble:
                raise LedgerTrouble(self.trouble)
            self._tried.clear()
            await self._tried.wait()

    def abandon(self) -> list[Outcome]:
        """Write nothing more. Returns what may not be on record, to be recorded later: a mail that was about to begin
        was not sent."""
        if self._writing:
            self._writing.cancel()
        groups = [*filter(None, [self._group]), self._next]
        left = list(
            dict.fromkeys(one for group in groups for one in group.outcomes)
        )  # who was cancelled wrote again
        begun = [one for group in groups for one in group.starts]
        return left + [Outcome(one.claimed, State.PENDING, one.at, "not_sent", counts=False) for one in begun]

    def caught_up(self) -> asyncio.Future[set[int]]:
        """Done once what came before is on record."""
        group = self._next
        if group.written is None:
            group.written = asyncio.get_running_loop().create_future()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return group.written

    async def _write(self) -> None:
        """Write until nothing is left. Whatever fails is tried again, with the same group."""
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
        """Wait for others of a burst: connections that take turns in twos and threes pay for many transactions."""
        if 0 < self._next.writers < MOST * self._writers:
            self._enough.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._enough.wait()

    async def _commit(self, group: _Group) -> set[int]:
        """One try. An entry that the database refuses for its values keeps none of the others out."""
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
        """In plain words: a mail that can't begin is held, and an outcome recorded without what the relay said."""
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
        in_a_row: list[RefusalStreak] = []
        try:
            with metrics.RECORDING.time():
                begun, self.known, held = await self._database.run_sending(
                    _record, starts, outcomes, self.known, is_set_back, self._hold, in_a_row
                )
        except BaseException:
            self.is_set_back = self.is_set_back or is_set_back
            raise
        for refusal in in_a_row:
            self._refused_alike(refusal)
        if held:
            self.has_held = True
            log.error("the database was set back to an earlier state: what may have gone out is held")
        if sent := [one for one in outcomes if one.state is State.SENT]:
            log.info(
                "sent",
                deliveries=[one.claimed.id for one in sent],
                queue_ids=[queue_id(one.reply, *personal(one.claimed)) for one in sent],
            )
        return begun


def _record(
    conn: Connection,
    starts: list[Start],
    outcomes: list[Outcome],
    known: Known | None,
    is_set_back: bool,
    hold: Callable[[Connection], object],
    in_a_row: list[RefusalStreak],
) -> tuple[set[int], Known | None, bool]:
    """Returns the starts that are ours to send, what is known once this is committed, and whether `hold` was called.
    `in_a_row` has refusals that are not about their recipients then."""
    restorations, is_there = _look(conn, known)
    is_set_back = is_set_back or not is_there
    in_a_row[:] = conclude(conn, outcomes)
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
    return begun, known, is_set_back


def _known(lease: Lease, has_outcome: bool, restorations: int) -> Known:
    return Known(lease.id, lease.token, lease.webinar, lease.due_at, has_outcome, restorations)


def last_on_record(conn: Connection) -> Known | None:
    """What the ledger confirmed last, whoever made the attempt; None where there was none."""
    a, d = table(Attempt), table(Delivery)
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
    """Whether the ledger still has what it confirmed."""
    return _look(conn, known)[1]


def _look(conn: Connection, known: Known | None) -> tuple[int, bool]:
    """How often the ledger was set back (`ledger.restored`), and whether it still has what it confirmed."""
    row = execute(
        conn,
        "SELECT (SELECT restorations FROM ledger) AS restorations, (SELECT outcome FROM attempt"
        " WHERE delivery_id = :id AND lease_token = :token) AS outcome",
        id=known.delivery if known else 0,
        token=known.token if known else "",
    ).one()
    if known is None:
        is_there = True
    elif row.outcome is None:
        is_there = was_removed_since(conn, known.webinar, known.due_at)
    else:
        is_there = row.outcome != "" or not known.has_outcome
    return row.restorations or 0, is_there
