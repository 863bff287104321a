"""Takes in what changed in `registrants`: rows become registrations, which outlive nightly reloads.

The change rows are deleted in the very transaction in which they are planned from, so nothing is lost
however transactions commit. Work is proportional to what changed, not to how many registrants there are.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from scheduler.database.engine import run
from scheduler.database.models import Registration, RowSetAside
from scheduler.registrants.languages import language_tag
from scheduler.registrants.rows import Row, fold, read_rows, why_unusable
from scheduler.registrants.zones import zones_of
from scheduler.webinar import Webinar

BATCH = 5000  # change rows a transaction
SHARED_ADDRESS = "another row of this webinar has the same address"


@dataclass
class Taken:
    """What one batch brought."""

    more: bool = False
    rows: int = 0
    moved_address: list[int] = field(default_factory=list)  # registrations that are a new recipient now
    moved_link: list[int] = field(default_factory=list)  # registrations whose own join link changed


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
    """Turn one batch of changed rows into registrations; flags those to be planned anew.

    A row that comes back for the same webinar and address within `return_within` is the same registration.
    """
    changes = run(
        conn, "SELECT id, registrant_id FROM registrant_change ORDER BY id LIMIT :limit", limit=BATCH
    ).all()
    if not changes:
        return Taken()
    run(conn, "DELETE FROM registrant_change WHERE id IN :ids", ids=[change.id for change in changes])
    taken = Taken(more=len(changes) == BATCH, rows=len(changes))
    ids = {int(change.registrant_id) for change in changes if change.registrant_id is not None}
    if any(change.registrant_id is None for change in changes):
        ids |= _registrations_without_row(conn)
    batch = _Batch(conn, now, return_within, sorted(ids), taken)
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
        self, conn: Connection, now: datetime, return_within: timedelta, ids: Sequence[int], taken: Taken
    ) -> None:
        self.conn, self.now, self.return_within, self.ids, self.taken = conn, now, return_within, ids, taken
        self.rows = read_rows(conn, ids)
        self.by_row: dict[int, _Known] = {}
        self.by_address: dict[tuple[str, str], list[_Known]] = {}
        self.all: list[_Known] = []
        self.aside: list[dict[str, object]] = []
        self.freed: set[str] = set()  # webinars in which somebody gave an address up
        self._load()

    def _load(self) -> None:
        table = Registration.__table__  # type: ignore[attr-defined]
        folded = {fold(row.email) for row in self.rows}
        found = self.conn.execute(
            select(table).where(table.c.registrant_id.in_(self.ids) | table.c.address_folded.in_(folded))
        )
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
        self.rows_now = {row.id: (row.webinar, fold(row.email)) for row in self.rows}
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
        folded = fold(row.email)
        at_row = self.by_row.get(row.id)
        if at_row and at_row.webinar != row.webinar:
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
        values = _values(row) | {"uid": new_uid(webinar)}
        known = _Known(None, row.webinar, row.id, folded, None, values, changed=True)
        self._add(known)

    def _update(self, known: _Known, row: Row, folded: str, webinar: Webinar) -> None:
        values = _values(row)
        if known.address_folded != folded:
            self.freed.add(known.webinar)
            values["uid"] = new_uid(webinar)
            self._note(self.taken.moved_address, known)
        elif known.values["join_url"] != row.join_url:
            self._note(self.taken.moved_link, known)
        before = dict(known.values)
        known.values |= values
        if (known.values, known.gone_at, known.registrant_id) != (before, None, row.id):
            known.changed = True
        if known.registrant_id in self.by_row:
            del self.by_row[known.registrant_id]
        known.registrant_id, known.gone_at, known.address_folded = row.id, None, folded
        self.by_row[row.id] = known

    @staticmethod
    def _note(ids: list[int], known: _Known) -> None:
        if known.id is not None:
            ids.append(known.id)

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
        table = Registration.__table__  # type: ignore[attr-defined]
        records = [
            {
                **known.values,
                **zones.get((known.webinar, str(known.values["timezone"]), str(known.values["country"])), {}),
                "webinar": known.webinar,
                "registrant_id": known.registrant_id,
                "address_folded": known.address_folded,
                "gone_at": known.gone_at,
                "replan": True,
            }
            for known in changed
        ]
        new = [r | {"first_seen_at": self.now} for r, k in zip(records, changed, strict=True) if k.id is None]
        if new:
            self.conn.execute(insert(table), new)
        for record, known in zip(records, changed, strict=True):
            if known.id is not None:
                self.conn.execute(update(table).where(table.c.id == known.id).values(record))
        # TRUNCATE and INSERT OR REPLACE take rows away without naming them.
        run(
            self.conn,
            "DELETE FROM row_set_aside WHERE registrant_id IN :ids"
            " OR NOT EXISTS (SELECT 1 FROM registrants r WHERE r.id = registrant_id)",
            ids=self.ids,
        )
        if self.aside:
            self.conn.execute(insert(RowSetAside.__table__), self.aside)  # type: ignore[attr-defined]

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


_COPIED = ("address", "uid", "name", "language", "timezone", "country", "join_url")


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
