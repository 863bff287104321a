"""Takes in what changed in `registrants`: rows become registrations, which outlive nightly reloads.

The change rows are deleted in the very transaction in which they are planned from, so nothing is lost
however transactions commit. Work is proportional to what changed, not to how many registrants there are.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, text, update

from scheduler.database.engine import as_list, dialect, listed, run
from scheduler.database.models import Registration, RowSetAside
from scheduler.input.addresses import fold, spellings
from scheduler.registrants.languages import language_tag
from scheduler.registrants.rows import Row, read_rows, why_unusable
from scheduler.registrants.zones import zones_of
from scheduler.timing import takes_effect_at
from scheduler.webinar import Webinar

BATCH = 5000  # change rows a transaction
SHARED_ADDRESS = "another row of this webinar has the same address"


@dataclass
class Taken:
    """What one batch brought."""

    more: bool = False
    rows: int = 0
    moved_address: list[int] = field(default_factory=list)  # registrations that are a new recipient now


@dataclass
class _Known:
    """A registration as the database has it, changed in memory until the batch is written."""

    id: int | None
    webinar: str
    registrant_id: int | None
    address_folded: str
    gone_at: datetime | None
    values: dict[str, object]
    changed: bool = False


def take_changes(
    conn: Connection, now: datetime, webinars: Mapping[str, Webinar], return_within: timedelta
) -> Taken:
    """Turn one batch of changed rows into registrations, which are then planned.

    A row that comes back for the same webinar and address within `return_within` is the same registration; later it is
    a new one with the UID of the old.
    """
    changes = run(
        conn,
        "SELECT id, registrant_id, operation FROM registrant_change ORDER BY id LIMIT :limit",
        limit=BATCH,
    ).all()
    if not changes:
        return Taken()
    done = as_list(conn, (change.id for change in changes))
    run(conn, f"DELETE FROM registrant_change WHERE id IN {listed(conn, 'done')}", done=done)
    taken = Taken(more=len(changes) == BATCH, rows=len(changes))
    ids = {change.registrant_id for change in changes} - {None}
    if any(change.registrant_id is None for change in changes):
        ids |= _registrations_without_row(conn)
    written_again = {change.registrant_id for change in changes if change.operation in _NEW_ROW}
    if taken.more and any(change.operation == "U" for change in changes):  # the rest may be in the next batch
        later = f"operation IN :new_row AND registrant_id IN {listed(conn, 'ids')}"
        query = f"SELECT DISTINCT registrant_id FROM registrant_change WHERE {later}"
        written_again |= set(run(conn, query, new_row=_NEW_ROW, ids=as_list(conn, ids)).scalars())
    batch = _Batch(conn, now, return_within, sorted(ids), written_again, taken)
    for row in batch.rows:
        if reason := why_unusable(row, webinars.keys()) or batch.take(row, webinars[row.webinar]):
            batch.set_aside(row, reason)
    batch.rows_gone()
    batch.write(webinars)
    batch.look_again_at_rows_that_shared_an_address()
    return taken


def _registrations_without_row(conn: Connection) -> set[int]:
    """After TRUNCATE: the rows that registrations still point to, and that are there no more."""
    return set(
        run(
            conn,
            "SELECT registrant_id FROM registration g WHERE registrant_id IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM registrants r WHERE r.id = g.registrant_id)",
        ).scalars()
    )


class _Batch:
    """The registrations that one batch of rows is about."""

    def __init__(
        self,
        conn: Connection,
        now: datetime,
        return_within: timedelta,
        ids: Sequence[int],
        written_again: Collection[int],
        taken: Taken,
    ) -> None:
        """`written_again`: the ids among `ids` under which a row was deleted or inserted."""
        self.conn, self.now, self.return_within, self.ids, self.taken = conn, now, return_within, ids, taken
        self.written_again = written_again
        self.rows = read_rows(conn, ids)
        self.rows_now = {row.id: (row.webinar, fold(row.email)) for row in self.rows}
        self.by_row: dict[int, _Known] = {}
        self.by_address: dict[tuple[str, str], list[_Known]] = {}
        self.all: list[_Known] = []
        self.aside: list[dict[str, object]] = []
        self.freed: set[str] = set()  # webinars in which somebody gave an address up
        self._load()

    def _load(self) -> None:
        table = Registration.__table__  # type: ignore[attr-defined]
        engine = dialect(self.conn)
        people = engine.rows("people", {"webinar": "text", "folded": "text"})
        known = text(
            f"SELECT id FROM registration WHERE registrant_id IN {listed(self.conn, 'ids')} UNION"
            f" SELECT r.id FROM {people} AS p {engine.join_next} registration r"
            " ON r.webinar = p.webinar AND r.address_folded = p.folded"
        ).bindparams(
            ids=as_list(self.conn, self.ids),
            people=json.dumps(sorted(set(self.rows_now.values()))),
        )
        chosen = table.c.id.in_(known.columns(table.c.id))
        found = self.conn.execute(select(table).where(chosen).order_by(table.c.id))
        for row in found.mappings():
            values = {name: row[name] for name in _COPIED}
            self._add(
                _Known(
                    row["id"],
                    row["webinar"],
                    row["registrant_id"],
                    row["address_folded"],
                    row["gone_at"],
                    values,
                )
            )
        others = {known.registrant_id for known in self.all if known.registrant_id} - set(self.ids)
        self.rows_now |= {
            row.id: (row.webinar, fold(row.email)) for row in read_rows(self.conn, sorted(others))
        }

    def _add(self, known: _Known) -> None:
        self.all.append(known)
        if known.registrant_id is not None:
            self.by_row[known.registrant_id] = known
        self.by_address.setdefault((known.webinar, known.address_folded), []).append(known)

    def take(self, row: Row, webinar: Webinar) -> str:
        """Match one sound row to a registration, old or new. Returns why the row must be set aside, or ''."""
        folded = self.rows_now[row.id][1]
        at_row = self.by_row.get(row.id)
        if at_row and not self._still_theirs(at_row, row, folded):
            self._gone(at_row)
            at_row = None
        same = self._same_person(row, folded, at_row)
        if same and same is not at_row and self._has_row_of_its_own(same):
            return SHARED_ADDRESS
        if same and at_row and same is not at_row:
            self._gone(at_row)
        known = same or at_row
        if known is None:
            self._new(row, folded, webinar)
        else:
            self._update(known, row, folded, webinar)
        return ""

    def _still_theirs(self, known: _Known, row: Row, folded: str) -> bool:
        """Whether the row still stands for the same person. Another address counts as corrected only by an UPDATE, and
        only if the old one is in no other row: reloads use ids for other people."""
        if known.webinar != row.webinar:
            return False
        if known.address_folded == folded:
            return True
        return row.id not in self.written_again and not self._is_elsewhere(known, row.id)

    def _is_elsewhere(self, known: _Known, registrant_id: int) -> bool:
        written, ascii_domain, in_unicode = spellings(str(known.values["address"]))
        rows = run(
            self.conn,
            "SELECT id, CAST(email AS TEXT) AS email FROM registrants WHERE webinar = :webinar"  # by an index
            " AND lower(email) IN (lower(:written), lower(:ascii_domain), lower(:in_unicode)) AND id <> :row",
            webinar=known.webinar,
            written=written,
            ascii_domain=ascii_domain,
            in_unicode=in_unicode,
            row=registrant_id,
        )
        return any(fold(row.email) == known.address_folded for row in rows)

    def _has_row_of_its_own(self, known: _Known) -> bool:
        """False where INSERT OR REPLACE took its row away, which fires no delete trigger."""
        return known.registrant_id is not None and self.rows_now.get(known.registrant_id) == (
            known.webinar,
            known.address_folded,
        )

    def _same_person(self, row: Row, folded: str, at_row: _Known | None) -> _Known | None:
        candidates = self.by_address.get((row.webinar, folded), [])
        if at_row in candidates:
            return at_row
        for known in reversed(candidates):
            if known.gone_at is None or self.now - known.gone_at <= self.return_within:
                return known
        return None

    def _new(self, row: Row, folded: str, webinar: Webinar) -> None:
        """Who comes back late has the entry of the registration that went last in their calendar: the UID stays."""
        earlier = reversed(self.by_address.get((row.webinar, folded), []))
        last = max(earlier, key=lambda known: known.gone_at or self.now, default=None)
        uid = last.values["uid"] if last else new_uid(webinar)
        values = _values(row) | {"uid": uid}
        known = _Known(None, row.webinar, row.id, folded, None, values, changed=True)
        self._add(known)

    def _update(self, known: _Known, row: Row, folded: str, webinar: Webinar) -> None:
        values = _values(row)
        if known.address_folded != folded:
            self.freed.add(known.webinar)
            values["uid"] = new_uid(webinar)
            if known.id is not None:
                self.taken.moved_address.append(known.id)
        elif known.id is not None and known.values["join_url"] != row.join_url:
            values |= self._link_waits(known, webinar)
        before = dict(known.values)
        known.values |= values
        if (known.values, known.gone_at, known.registrant_id) != (before, None, row.id):
            known.changed = True
        if known.registrant_id in self.by_row:
            del self.by_row[known.registrant_id]
        known.registrant_id, known.gone_at, known.address_folded = row.id, None, folded
        self.by_row[row.id] = known

    def _link_waits(self, known: _Known, webinar: Webinar) -> dict[str, object]:
        """Until when the notice of a changed link waits: like an edit, counted from the last change."""
        until = known.values["link_until"]
        since = known.values["link_since"] if isinstance(until, datetime) and until > self.now else None
        first = since if isinstance(since, datetime) else self.now
        ends = takes_effect_at(self.now, first, webinar.notice_after, (webinar.start,))
        return {"link_since": first, "link_until": ends} if ends > self.now else {}

    def _gone(self, known: _Known) -> None:
        if known.registrant_id is not None:
            self.by_row.pop(known.registrant_id, None)
        self.freed.add(known.webinar)
        known.registrant_id, known.gone_at, known.changed = None, self.now, True

    def set_aside(self, row: Row, reason: str) -> None:
        """What was planned by the row's last sound version stays in force, unless that was for another webinar."""
        before = self.by_row.get(row.id)
        if before and before.webinar != row.webinar:
            self._gone(before)
        self.aside.append(
            {"registrant_id": row.id, "webinar": row.webinar[:200], "reason": reason, "seen_at": self.now}
        )

    def rows_gone(self) -> None:
        present = {row.id for row in self.rows}
        for registrant_id in self.ids:
            known = self.by_row.get(registrant_id)
            if known and registrant_id not in present:
                self._gone(known)

    def write(self, webinars: Mapping[str, Webinar]) -> None:
        changed = [known for known in self.all if known.changed]
        zones = zones_of(self.conn, webinars, changed)
        records = [
            {
                **known.values,
                **zones.get(
                    (known.webinar, str(known.values["timezone"]), str(known.values["country"])), _NOWHERE
                ),
                "webinar": known.webinar,
                "registrant_id": known.registrant_id,
                "address_folded": known.address_folded,
                "gone_at": known.gone_at,
            }
            for known in changed
        ]
        self._insert([record for record, known in zip(records, changed, strict=True) if known.id is None])
        table = Registration.__table__  # type: ignore[attr-defined]
        for record, known in zip(records, changed, strict=True):
            if known.id is not None:
                flagged = update(table).where(table.c.id == known.id).values({**record, "plan": 0})
                self.conn.execute(flagged)
        # TRUNCATE and INSERT OR REPLACE take rows away without naming them.
        run(
            self.conn,
            f"DELETE FROM row_set_aside WHERE registrant_id IN {listed(self.conn, 'ids')}"
            " OR NOT EXISTS (SELECT 1 FROM registrants r WHERE r.id = registrant_id)",
            ids=as_list(self.conn, self.ids),
        )
        if self.aside:
            self.conn.execute(insert(RowSetAside.__table__), self.aside)  # type: ignore[attr-defined]

    def _insert(self, records: Sequence[Mapping[str, object]]) -> None:
        """In one statement. Their plan is 0: they wait to be planned."""
        if not records:
            return
        engine = dialect(self.conn)
        cells = [
            [engine.written(cell) if isinstance(cell := record[name], datetime) else cell for name in _NEW]
            for record in records
        ]
        names = ", ".join(_NEW)
        run(
            self.conn,
            f"INSERT INTO registration ({names}, first_seen_at)"
            f" SELECT {names}, :now FROM {engine.rows('people', _NEW)} AS people",
            people=json.dumps(cells),
            now=self.now,
        )

    def look_again_at_rows_that_shared_an_address(self) -> None:
        """An address that is given up may be what another row waits for."""
        if self.freed:
            again = run(
                self.conn,
                "INSERT INTO registrant_change (registrant_id) SELECT registrant_id FROM row_set_aside"
                " WHERE webinar IN :webinars AND reason = :reason",
                webinars=self.freed,
                reason=SHARED_ADDRESS,
            )
            self.taken.more |= again.rowcount > 0


_NEW = {
    "webinar": "text", "registrant_id": "bigint", "address": "text", "address_folded": "text", "uid": "text",
    "name": "text", "language": "text", "timezone": "text", "country": "text", "zone": "text", "zone_known_by": "text",
    "join_url": "text", "gone_at": "timestamptz",
}  # fmt: skip
_NOWHERE = {"zone": "", "zone_known_by": ""}
_COPIED = (
    "address", "uid", "name", "language", "timezone", "country", "join_url", "link_since", "link_until",
)  # fmt: skip
_NEW_ROW = ("I", "D")  # operations after which an id may stand for somebody else


def _values(row: Row) -> dict[str, object]:
    return {
        "address": row.email,
        "name": row.name,
        "language": language_tag(row.language),
        "timezone": row.timezone,
        "country": row.country,
        "join_url": row.join_url,
    }


def new_uid(webinar: Webinar) -> str:
    """A calendar UID for life: not guessable, no address in it (RFC 7986, 5.3), our own domain behind it."""
    return f"{secrets.token_hex(16)}@{webinar.sender.domain}"
