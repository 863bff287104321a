"""Takes in what changed in `registrants`: rows become registrations, which outlive nightly reloads.

The change rows are deleted in the very transaction that takes their rows in, so nothing is lost however transactions
commit. A batch is a fixed number of statements, whatever is in it, and its cost follows what changed, not how many
registrants there are. Only people about whom something changed that planning reads are planned again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, text

from scheduler.database.engine import as_list, dialect, execute
from scheduler.database.models import Registration, table
from scheduler.input.addresses import fold, spellings
from scheduler.registrants.forgotten import rows_of_forgotten
from scheduler.registrants.languages import language_tag
from scheduler.registrants.rows import UNKNOWN_WEBINAR, Person, Registrants, Row, why_unusable
from scheduler.registrants.zones import zones_of
from scheduler.webinar.model import Webinar
from scheduler.webinar.timing import takes_effect_at

BATCH = 5000  # change rows a transaction
SHARED_ADDRESS = "another row of this webinar has the same address"


@dataclass
class Taken:
    """What one batch brought."""

    more: bool = False
    webinar: str | None = None
    """Whose changes they were ("" where that is not known); not of the newest of all."""
    rows: int = 0
    moved_address: list[int] = field(default_factory=list)  # registrations that are a new recipient now


class _Change(NamedTuple):
    """What was done to a row of this number, and of which webinar, as far as it is known."""

    id: int
    registrant_id: int | None
    operation: str
    webinar: str


@dataclass(slots=True, eq=False)
class _Known:
    """A registration as the database has it, changed in memory until the batch is written."""

    id: int | None
    webinar: str
    registrant_id: int | None
    address_folded: str
    gone_at: datetime | None
    values: dict[str, object]
    changed: bool = False
    edited: bool = False  # changed in more than the number of its row
    plan_again: bool = False  # changed in what planning reads

    @property
    def person(self) -> Person:
        return self.webinar, self.address_folded

    @property
    def place(self) -> tuple[str, str, str]:
        return self.webinar, str(self.values["timezone"]), str(self.values["country"])


def take_changes(
    conn: Connection,
    now: datetime,
    webinars: Mapping[str, Webinar],
    return_within: timedelta,
    *,
    limit: int | None = None,
    after: str | None = "",
) -> Taken:
    """Turn one batch of up to `limit` changed rows into registrations, which are then planned: of the next webinar that
    has any `after` this one, or the newest of all (None). Raises RegistrantsUnreadable. Only one service may do so at
    a time.

    A row that comes back for the same webinar and address within `return_within` is the same registration; later it is
    a new one with the UID of the old.
    """
    if not _some_wait(conn):
        return Taken()
    registrants = Registrants(conn)
    with dialect(conn).by_index(conn):
        changes = _take_off(conn, limit or BATCH, after)
        taken = Taken(more=_some_wait(conn), rows=len(changes))
        if changes and after is not None:
            taken.webinar = str(changes[0].webinar)
        if any(change.registrant_id is None for change in changes):
            _name_rows_that_are_gone(conn)
            taken.more = True
        batch = _Batch(conn, now, webinars, return_within, registrants, changes, taken)
        batch.take_in()
        batch.write()
    return taken


def _some_wait(conn: Connection) -> bool:
    return bool(execute(conn, "SELECT EXISTS (SELECT 1 FROM registrant_change)").scalar())


def next_webinar(conn: Connection, after: str) -> str:
    """The next one that has changes: they take turns."""
    return str(execute(conn, f"SELECT {_NEXT_WEBINAR}", after=after).scalar() or "")


def _take_off(conn: Connection, limit: int, after: str | None) -> list[_Change]:
    """Changes of the next webinar, or the newest of all (None), deleted. Their order is no matter: a row is read as it
    is now."""
    query, values = "SELECT id, registrant_id, operation, webinar FROM registrant_change", {"limit": limit}
    if after is None:
        rows = execute(conn, f"{query} ORDER BY id DESC LIMIT :limit", **values)
    else:
        rows = execute(conn, f"{query} WHERE webinar = {_NEXT_WEBINAR} LIMIT :limit", after=after, **values)
    changes = [_Change(row.id, row.registrant_id, row.operation, row.webinar) for row in rows]
    deleted = f"DELETE FROM registrant_change WHERE {dialect(conn).among('id', 'done')}"
    execute(conn, deleted, done=as_list(conn, (change.id for change in changes)))
    return changes


# They take turns. What somebody else wrote is compared as the database has it.
_NEXT_WEBINAR = (
    "coalesce((SELECT min(webinar) FROM registrant_change WHERE webinar > :after),"
    " (SELECT min(webinar) FROM registrant_change))"
)


def _name_rows_that_are_gone(conn: Connection) -> None:
    """After TRUNCATE: each row that a registration points to, or that was set aside, and that is there no more."""
    execute(
        conn,
        "INSERT INTO registrant_change (registrant_id, operation) SELECT registrant_id, 'D' FROM"
        " (SELECT registrant_id FROM registration WHERE registrant_id IS NOT NULL"
        " UNION SELECT registrant_id FROM row_set_aside EXCEPT SELECT id FROM registrants) AS gone",
    )


class _Batch:
    """The rows that one batch of changes is about, and the registrations of the people in them."""

    def __init__(
        self,
        conn: Connection,
        now: datetime,
        webinars: Mapping[str, Webinar],
        return_within: timedelta,
        registrants: Registrants,
        changes: Collection[_Change],
        taken: Taken,
    ) -> None:
        self.conn, self.engine, self.now = conn, dialect(conn), now
        self.return_within, self.taken = return_within, taken
        self.registrants = registrants
        self.ids = sorted({one.registrant_id for one in changes if one.registrant_id is not None})
        self.written_again = {one.registrant_id for one in changes if one.operation in _NEW_ROW}
        self.there = registrants.people(self.ids)
        self.ended = self._ended({webinar for webinar, _ in self.there.values()})
        self.webinars = {name: one for name, one in webinars.items() if name not in self.ended}
        rows = registrants.read(
            number for number, (webinar, _) in self.there.items() if webinar in self.webinars
        )
        forgotten = rows_of_forgotten(conn, now, registrants, rows)
        self.rows = [row for row in rows if row.id not in forgotten]
        self.people = {row.id: (row.webinar, fold(row.email)) for row in self.rows}
        self.by_row: dict[int, list[_Known]] = {}
        self.by_person: dict[Person, list[_Known]] = {}
        self.all: list[_Known] = []
        self.lost: dict[int, _Known] = {}  # by its own id: their row is gone, or is another person's now
        self.aside = [(row.id, row.webinar, forgotten[row.id]) for row in rows if row.id in forgotten]
        self.former: list[tuple[str, int]] = []  # UIDs that were given up, and whose
        self.freed: set[str] = set()  # webinars in which somebody gave an address up
        self._load()
        self.ended |= self._ended({one.webinar for one in self.all} - self.webinars.keys())
        self.elsewhere = self._elsewhere()

    # What there is

    def _load(self) -> None:
        columns = ", ".join(f"r.{name}" for name in _COLUMNS)
        of_rows = f"SELECT {columns} FROM registration r WHERE {self.engine.among('r.registrant_id', 'ids')}"
        given = self.engine.rows("people", {"webinar": "text", "folded": "text"})
        of_people = (  # by the address alone: other indexes begin with the webinar
            f"SELECT {columns} FROM {given} AS p {self.engine.join_next} registration r"
            f" ON {self.engine.equal('r.address_folded', 'p.folded')} AND r.webinar || '' = p.webinar"
        )
        known = self._registrations(of_rows, ids=as_list(self.conn, self.ids))
        at_their_row = {(one.registrant_id, one.person) for one in known.values()}
        elsewhere = {one for number, one in self.people.items() if (number, one) not in at_their_row}
        if elsewhere:
            known |= self._registrations(of_people, people=json.dumps(sorted(elsewhere)))
        for _, one in sorted(known.items()):
            self._add(one)
        others = {one.registrant_id for one in self.all if one.registrant_id is not None} - set(self.ids)
        for number, (webinar, email) in self.registrants.people(others).items():
            self.people[number] = (webinar, fold(email))

    def _registrations(self, sql: str, **values: str) -> dict[int, _Known]:
        registrations = table(Registration)
        typed = text(sql).columns(*(registrations.c[name] for name in _COLUMNS))
        facts = ("id", "webinar", "registrant_id", "address_folded", "gone_at")
        return {
            row["id"]: _Known(
                **{name: row[name] for name in facts}, values={name: row[name] for name in _VALUES}
            )
            for row in self.conn.execute(typed, values).mappings()
        }

    def _add(self, known: _Known) -> None:
        self.all.append(known)
        if known.registrant_id is not None:
            self.by_row.setdefault(known.registrant_id, []).append(known)
        self.by_person.setdefault(known.person, []).append(known)

    def _ended(self, named: set[str]) -> set[str]:
        """Those of these webinars that have ended, whatever this service knows: what is written of them is nobody's
        concern."""
        if not named:
            return set()
        given = self.engine.rows("named", {"webinar": "text"})
        ended = (
            f"SELECT w.webinar FROM {given} AS n {self.engine.join_next} webinar w ON w.webinar = n.webinar"
            " WHERE w.status = 'ended'"
        )
        return set(execute(self.conn, ended, named=json.dumps([[one] for one in sorted(named)])).scalars())

    def _elsewhere(self) -> set[int]:
        """The registrations whose row has another address now, and which are not merely corrected: the row was written
        by more than an UPDATE, or their old address is in another row. Reloads use ids for other people."""
        renamed = [
            (row.id, known)
            for row in self.rows
            for known in self.by_row.get(row.id, ())
            if known.webinar == row.webinar and known.address_folded != self.people[row.id][1]
        ]
        if not renamed:
            return set()
        again = self.written_again | self._written_later(row for row, _ in renamed)
        found = self.registrants.find(
            {
                (one.webinar, spelling)
                for _, one in renamed
                for spelling in spellings(str(one.values["address"]))
            }
        )
        return {
            known.id
            for row, known in renamed
            if known.id is not None and (row in again or found.get(known.person, row) != row)
        }

    def _written_later(self, ids: Iterable[int]) -> set[int]:
        """Of these rows those that a change in a later batch says were deleted or inserted."""
        if not self.taken.more:
            return set()
        later = f"operation IN :new_row AND {self.engine.among('registrant_id', 'ids')}"
        query = f"SELECT DISTINCT registrant_id FROM registrant_change WHERE {later}"
        return set(execute(self.conn, query, new_row=_NEW_ROW, ids=as_list(self.conn, ids)).scalars())

    # What follows

    def take_in(self) -> None:
        for row in self.rows:
            if reason := why_unusable(row, self.webinars.keys()):
                self._keep(row)
            else:
                reason = self._take(row)
            if reason:
                self.aside.append((row.id, row.webinar, reason))
        for number in self.ids:
            if number not in self.people:
                self._not_ours(number)
        self._look_for_lost()

    def _keep(self, row: Row) -> None:
        """What was planned by the row's last sound version stays in force, unless that was for another webinar."""
        for known in list(self.by_row.get(row.id, ())):
            if known.webinar != row.webinar:
                self._lose(known)

    def _take(self, row: Row) -> str:
        """Match one sound row to a registration, old or new. Returns why the row must be set aside, or ''."""
        person = self.people[row.id]
        at_row = self._at_row(row.id, person)
        same = self._same_person(person, at_row)
        if same and same is not at_row and self._has_row_of_its_own(same):
            if at_row:  # which stays what it was planned by
                self.by_row[row.id].append(at_row)
            return SHARED_ADDRESS
        if same and at_row and same is not at_row:
            self._lose(at_row)
        known = same or at_row
        if known is None:
            self._new(row, person)
        else:
            self._update(known, row, person[1])
        return ""

    def _at_row(self, number: int, person: Person) -> _Known | None:
        """The registration that this row still stands for. The others that point to it lost theirs."""
        here = self.by_row.pop(number, [])
        same = [one for one in here if one.person == person]
        corrected = [one for one in here if one.webinar == person[0] and one.id not in self.elsewhere]
        chosen = next(iter([*same, *corrected]), None)
        for one in here:
            if one is not chosen:
                self._lose(one)
        self.by_row[number] = []
        return chosen

    def _has_row_of_its_own(self, known: _Known) -> bool:
        """False where INSERT OR REPLACE took its row away, which fires no delete trigger."""
        return known.registrant_id is not None and self.people.get(known.registrant_id) == known.person

    def _same_person(self, person: Person, at_row: _Known | None) -> _Known | None:
        candidates = self.by_person.get(person, [])
        if at_row in candidates:
            return at_row
        for known in reversed(candidates):
            if known.gone_at is None or self.now - known.gone_at <= self.return_within:
                return known
        return None

    def _new(self, row: Row, person: Person) -> None:
        """Who comes back late has the entry of the registration that went last in their calendar: the UID stays."""
        earlier = reversed(self.by_person.get(person, []))
        last = max(earlier, key=lambda known: known.gone_at or self.now, default=None)
        uid = last.values["uid"] if last else new_uid(self.webinars[row.webinar])
        values = {**_NOWHERE, **_values(row), "uid": uid}
        self._add(_Known(None, row.webinar, row.id, person[1], None, values, changed=True))

    def _update(self, known: _Known, row: Row, folded: str) -> None:
        webinar, values = self.webinars[row.webinar], _values(row)
        if known.address_folded != folded:
            self.freed.add(known.webinar)
            values["uid"] = new_uid(webinar)
            known.plan_again = True
            if known.id is not None:
                self.former.append((str(known.values["uid"]), known.id))
                self.taken.moved_address.append(known.id)
        elif known.values["join_url"] != row.join_url:
            known.plan_again = True
            if known.id is not None:
                values |= self._link_waits(known, webinar)
        known.plan_again |= known.gone_at is not None
        before = (known.registrant_id, known.gone_at, known.values)
        known.values = known.values | values
        known.edited |= before[2] != known.values
        known.changed |= before != (row.id, None, known.values)
        if known.registrant_id is not None and known in (here := self.by_row.get(known.registrant_id, [])):
            here.remove(known)
        known.registrant_id, known.gone_at, known.address_folded = row.id, None, folded
        self.by_row.setdefault(row.id, []).append(known)
        self.lost.pop(known.id or 0, None)

    def _link_waits(self, known: _Known, webinar: Webinar) -> dict[str, object]:
        """Until when the notice of a changed link waits: like an edit, counted from the last change."""
        until = known.values["link_until"]
        since = known.values["link_since"] if isinstance(until, datetime) and until > self.now else None
        first = since if isinstance(since, datetime) else self.now
        ends = takes_effect_at(self.now, first, webinar.notice_after, (webinar.start,))
        return {"link_since": first, "link_until": ends} if ends > self.now else {}

    def _not_ours(self, number: int) -> None:
        """A row that is gone, or of a webinar that is not known or has ended: whoever stood in it lost it."""
        webinar = self.there[number][0] if number in self.there else None
        if webinar in self.webinars:  # it was there a moment ago
            webinar = None
        if webinar is not None and webinar not in self.ended:
            self.aside.append((number, webinar, UNKNOWN_WEBINAR))
        for known in self.by_row.pop(number, []):
            if known.webinar != webinar and (webinar is not None or known.webinar not in self.ended):
                self._lose(known)

    def _lose(self, known: _Known) -> None:
        if known.id is None:
            raise AssertionError("a registration of this very batch has its row")
        known.registrant_id = None
        self.lost[known.id] = known

    def _look_for_lost(self) -> None:
        """A person whose row is gone may stand in another one already, as in the middle of a reload: they go on with
        that, which is taken in by a change of its own. Who stands nowhere is gone."""
        lost = list(self.lost.values())
        found = self.registrants.find(
            {(one.webinar, str(one.values["address"])) for one in lost if one.webinar in self.webinars}
        )
        for known in lost:
            number, known.changed = found.get(known.person), True
            if number is not None and known.gone_at is None and not self._taken_by_another(known, number):
                known.registrant_id = number
            else:
                self._gone(known)

    def _taken_by_another(self, known: _Known, number: int) -> bool:
        return any(
            other is not known and other.person == known.person for other in self.by_row.get(number, ())
        )

    def _gone(self, known: _Known) -> None:
        known.registrant_id, known.gone_at = None, known.gone_at or self.now
        if known.webinar not in self.ended:
            self.freed.add(known.webinar)
            known.plan_again = True

    # What is written

    def write(self) -> None:
        changed = [known for known in self.all if known.changed]
        self._resolve_zones(changed)
        self._insert([known for known in changed if known.id is None])
        self._write_changed([known for known in changed if known.id is not None])
        self._note_former_uids()
        self._set_aside()
        self._look_again_at_rows_that_shared_an_address()

    def _resolve_zones(self, changed: Iterable[_Known]) -> None:
        somewhere = [one for one in changed if one.webinar in self.webinars and one.gone_at is None]
        zones = zones_of(self.conn, self.webinars, {one.place for one in somewhere})
        for known in somewhere:
            zone = zones[known.place]
            known.plan_again |= known.values["zone"] != zone["zone"]
            known.values |= zone

    def _insert(self, people: Iterable[_Known]) -> None:
        """In one statement. Their plan is 0: they wait to be planned."""
        columns = {name: kind for name, kind in _COLUMNS.items() if name != "id"}
        names = ", ".join(columns)
        self._write(
            f"INSERT INTO registration ({names}, first_seen_at)"
            f" SELECT {names}, :now FROM {self.engine.rows('people', columns)} AS people",
            [self._cells(known, columns) for known in people],
            now=self.now,
        )

    def _write_changed(self, people: Iterable[_Known]) -> None:
        """In one statement, in the order of their ids. Whoever has a mail that is held for their data is planned
        again, whatever was edited."""
        columns = _COLUMNS | {"edited": "int", "plan_again": "int"}
        written = ", ".join(
            f"{name} = p.{name}" for name in _COLUMNS if name not in ("id", "webinar", *_LINK)
        )
        # Of links that wait planning takes the times away, perhaps at this moment.
        links = ", ".join(
            f"{name} = CASE WHEN p.{name} IS NULL OR registration.join_url = p.join_url"
            f" THEN registration.{name} ELSE p.{name} END"
            for name in _LINK
        )
        self._write(
            f"UPDATE registration SET {written}, {links}, plan = CASE WHEN p.plan_again = 1 OR p.edited = 1 AND EXISTS"
            " (SELECT 1 FROM delivery d WHERE d.registration_id = registration.id AND d.state = 'held'"
            "  AND d.reason = 'data') THEN 0 ELSE registration.plan END"
            f" FROM {self.engine.rows('people', columns)} AS p"
            f" WHERE {self.engine.equal('registration.id', 'p.id')}",
            [[*self._cells(known, _COLUMNS), int(known.edited), int(known.plan_again)] for known in people],
        )

    def _cells(self, known: _Known, columns: Iterable[str]) -> list[object]:
        facts = known.values | {
            "id": known.id,
            "webinar": known.webinar,
            "registrant_id": known.registrant_id,
            "address_folded": known.address_folded,
            "gone_at": known.gone_at,
        }
        return [
            self.engine.written(cell) if isinstance(cell := facts[name], datetime) else cell
            for name in columns
        ]

    def _note_former_uids(self) -> None:
        columns = {"uid": "text", "registration_id": "bigint"}
        self._write(
            "INSERT INTO former_uid (uid, registration_id) SELECT uid, registration_id"
            f" FROM {self.engine.rows('people', columns)} AS people WHERE TRUE ON CONFLICT DO NOTHING",
            [list(one) for one in self.former],
        )

    def _set_aside(self) -> None:
        execute(
            self.conn,
            f"DELETE FROM row_set_aside WHERE {self.engine.among('registrant_id', 'ids')}",
            ids=as_list(self.conn, self.ids),
        )
        columns = {"registrant_id": "bigint", "webinar": "text", "reason": "text"}
        names = ", ".join(columns)
        self._write(
            f"INSERT INTO row_set_aside ({names}, seen_at)"
            f" SELECT {names}, :now FROM {self.engine.rows('people', columns)} AS people",
            [[number, webinar[:200], reason] for number, webinar, reason in sorted(self.aside)],
            now=self.now,
        )

    def _look_again_at_rows_that_shared_an_address(self) -> None:
        """An address that is given up may be what another row waits for."""
        if self.freed:
            again = execute(
                self.conn,
                "INSERT INTO registrant_change (registrant_id, webinar)"
                " SELECT registrant_id, webinar FROM row_set_aside WHERE webinar IN :webinars AND reason = :reason",
                webinars=self.freed,
                reason=SHARED_ADDRESS,
            )
            self.taken.more |= again.rowcount > 0

    def _write(self, sql: str, rows: list[list[object]], **values: object) -> None:
        if rows:
            execute(self.conn, sql, people=json.dumps(rows), **values)


_COLUMNS = {
    "id": "bigint", "webinar": "text", "registrant_id": "bigint", "address": "text", "address_folded": "text",
    "uid": "text", "name": "text", "language": "text", "timezone": "text", "country": "text", "zone": "text",
    "zone_known_by": "text", "join_url": "text", "gone_at": "timestamptz", "link_since": "timestamptz",
    "link_until": "timestamptz",
}  # fmt: skip
_LINK = ("link_since", "link_until")
_VALUES = (
    "address", "uid", "name", "language", "timezone", "country", "zone", "zone_known_by", "join_url", *_LINK,
)  # fmt: skip
_NOWHERE = dict.fromkeys(("zone", "zone_known_by"), "") | dict.fromkeys(_LINK)
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
