"""Absorbs changes of `registrants`: rows become registrations, which outlive nightly reloads.

Change rows are deleted in the transaction that absorbs them, so none is lost whatever the order of commits. A batch
takes a fixed number of statements, and its cost depends on the changes, not on the number of registrants. A person is
planned again only if something changed that planning reads.
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
from scheduler.registrants import choices
from scheduler.registrants.again import note_changes
from scheduler.registrants.choices import CONFIRMED, NOTHING, Chosen
from scheduler.registrants.forgotten import rows_of_forgotten
from scheduler.registrants.languages import language_tag
from scheduler.registrants.rows import (
    HERE,
    UNKNOWN_WEBINAR,
    Person,
    Registrants,
    Row,
    is_here,
    why_no_link,
    why_unusable,
)
from scheduler.registrants.zones import zones_of
from scheduler.webinar.model import Webinar
from scheduler.webinar.timing import takes_effect_at

BATCH = 5000  # change rows a transaction
SHARED_ADDRESS = "another row of this webinar has the same address"
REGISTERED_HERE = "its person registered by the form or API as well"
"""Reason for passing over a row; nobody needs to act."""


@dataclass
class Absorbed:
    """The result of one batch."""

    more: bool = False
    webinar: str | None = None
    """The webinar of the changes, "" if it is not known; None for the newest of all webinars."""
    rows: int = 0
    moved_address: list[int] = field(default_factory=list)  # registrations with a new address


class _Change(NamedTuple):
    """A row of registrant_change."""

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
    edited: bool = False  # more changed than the id of its row
    plan_again: bool = False  # something changed that planning reads

    @property
    def person(self) -> Person:
        return self.webinar, self.address_folded

    @property
    def place(self) -> tuple[str, str, str]:
        return self.webinar, str(self.values["timezone"]), str(self.values["country"])


def absorb_changes(
    conn: Connection,
    now: datetime,
    webinars: Mapping[str, Webinar],
    return_within: timedelta,
    *,
    limit: int | None = None,
    after: str | None = "",
) -> Absorbed:
    """Absorb up to `limit` changes: of the next webinar after `after` that has any, or the newest of all (None). Only
    one service may do this at a time. Raises RegistrantsUnreadable.

    A row that comes back for the same webinar and address within `return_within` is the same registration; after that
    it is a new one with the UID of the old one.
    """
    if not _some_wait(conn):
        return Absorbed()
    registrants = Registrants(conn)
    with dialect(conn).by_index(conn):
        changes = _pop_changes(conn, limit or BATCH, after)
        result = Absorbed(more=_some_wait(conn), rows=len(changes))
        if changes and after is not None:
            result.webinar = str(changes[0].webinar)
        if any(change.registrant_id is None for change in changes):
            _record_deleted_rows(conn)
            result.more = True
        batch = _Batch(conn, now, webinars, return_within, registrants, changes, result)
        batch.absorb()
        batch.write()
    return result


def _some_wait(conn: Connection) -> bool:
    return bool(execute(conn, "SELECT EXISTS (SELECT 1 FROM registrant_change)").scalar())


def next_webinar(conn: Connection, after: str) -> str:
    """The next webinar after `after` that has changes, in rotation; "" if there are none."""
    return str(execute(conn, f"SELECT {_NEXT_WEBINAR}", after=after).scalar() or "")


def _pop_changes(conn: Connection, limit: int, after: str | None) -> list[_Change]:
    """Delete and return changes of the next webinar, or the newest of all (None). Their order does not matter, since
    rows are read in their present state."""
    query, values = "SELECT id, registrant_id, operation, webinar FROM registrant_change", {"limit": limit}
    if after is None:
        rows = execute(conn, f"{query} ORDER BY id DESC LIMIT :limit", **values)
    else:
        rows = execute(conn, f"{query} WHERE webinar = {_NEXT_WEBINAR} LIMIT :limit", after=after, **values)
    changes = [_Change(row.id, row.registrant_id, row.operation, row.webinar) for row in rows]
    deleted = f"DELETE FROM registrant_change WHERE {dialect(conn).among('id', 'done')}"
    execute(conn, deleted, done=as_list(conn, (change.id for change in changes)))
    return changes


# Webinars take turns. Compared in SQL, since names as others wrote them sort by the database's collation.
_NEXT_WEBINAR = (
    "coalesce((SELECT min(webinar) FROM registrant_change WHERE webinar > :after),"
    " (SELECT min(webinar) FROM registrant_change))"
)


def _record_deleted_rows(conn: Connection) -> None:
    """After a TRUNCATE, record a deletion for each missing row that a registration or row_set_aside refers to."""
    execute(
        conn,
        "INSERT INTO registrant_change (registrant_id, operation) SELECT registrant_id, 'D' FROM"
        f" (SELECT registrant_id FROM registration WHERE registrant_id > {HERE}"
        f" UNION SELECT registrant_id FROM row_set_aside WHERE registrant_id > {HERE}"
        " EXCEPT SELECT id FROM registrants) AS gone",
    )


class _Batch:
    """The rows of one batch of changes, and the registrations of the people in them."""

    def __init__(
        self,
        conn: Connection,
        now: datetime,
        webinars: Mapping[str, Webinar],
        return_within: timedelta,
        registrants: Registrants,
        changes: Collection[_Change],
        result: Absorbed,
    ) -> None:
        self.conn, self.engine, self.now = conn, dialect(conn), now
        self.return_within, self.result = return_within, result
        self.registrants = registrants
        self.ids = sorted({one.registrant_id for one in changes if one.registrant_id is not None})
        self.written_again = {one.registrant_id for one in changes if one.operation in _NEW_ROW}
        self.existing = registrants.people(self.ids)
        self._add_other_rows()
        self.ended = self._ended({webinar for webinar, _ in self.existing.values()})
        self.webinars = {name: one for name, one in webinars.items() if name not in self.ended}
        rows = registrants.read(
            number for number, (webinar, _) in self.existing.items() if webinar in self.webinars
        )
        forgotten = rows_of_forgotten(conn, now, registrants, rows)
        self.aside = [(row.id, row.webinar, forgotten[row.id]) for row in rows if row.id in forgotten]
        self.second: dict[int, Person] = {}  # rows of others whose person registered with us
        self.rows = self._one_row_each([row for row in rows if row.id not in forgotten])
        self.people = {row.id: (row.webinar, fold(row.email)) for row in self.rows}
        self.chosen = choices.chosen(conn, set(self.people.values()))
        self.by_row: dict[int, list[_Known]] = {}
        self.by_person: dict[Person, list[_Known]] = {}
        self.all: list[_Known] = []
        self.lost: dict[int, _Known] = {}  # registrations by id whose row is gone, or is another person's now
        self.lost_here: set[int] = set()  # those whose row was one of ours
        self.passed_over: list[int] = []  # rows that were passed over, and count now
        self.former: list[tuple[str, int]] = []  # former UIDs, each with its registration
        self.freed: set[str] = set()  # webinars in which an address is no longer in use
        self._load()
        self.ended |= self._ended({one.webinar for one in self.all} - self.webinars.keys())
        self.elsewhere = self._elsewhere()

    # Reading

    def _add_other_rows(self) -> None:
        """Add the other row of each person who has one in `registrants` and registered with us: they go together."""
        here = self.registrants.find_here(self.existing.values())
        there = self.registrants.find([person for number, person in self.existing.items() if is_here(number)])
        if added := {*here.values(), *there.values()} - set(self.ids):
            self.existing |= self.registrants.people(added)
            self.ids = sorted({*self.ids, *added})

    def _one_row_each(self, rows: list[Row]) -> list[Row]:
        """These rows without those of others whose person registered with us; if we know no join link of theirs, the
        other row's counts."""
        here = {(row.webinar, fold(row.email)) for row in rows if is_here(row.id)}
        if not here:
            return rows
        second = {
            row.id: row for row in rows if not is_here(row.id) and (row.webinar, fold(row.email)) in here
        }
        self.aside += [(row.id, row.webinar, REGISTERED_HERE) for row in second.values()]
        self.second = {number: (row.webinar, fold(row.email)) for number, row in second.items()}
        links = {
            (row.webinar, fold(row.email)): row.join_url
            for row in second.values()
            if not why_no_link(row.join_url)
        }
        return [
            row._replace(join_url=row.join_url or links.get((row.webinar, fold(row.email)), ""))
            if is_here(row.id)
            else row
            for row in rows
            if row.id not in second
        ]

    def _load(self) -> None:
        columns = ", ".join(f"r.{name}" for name in _COLUMNS)
        of_rows = f"SELECT {columns} FROM registration r WHERE {self.engine.among('r.registrant_id', 'ids')}"
        given = self.engine.rows("people", {"webinar": "text", "folded": "text"})
        of_people = (  # by the index on addresses: those on other columns begin with the webinar
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
        """The webinars among these that have ended, by the database, not by what this service knows."""
        if not named:
            return set()
        given = self.engine.rows("named", {"webinar": "text"})
        ended = (
            f"SELECT w.webinar FROM {given} AS n {self.engine.join_next} webinar w ON w.webinar = n.webinar"
            " WHERE w.status = 'ended'"
        )
        return set(execute(self.conn, ended, named=json.dumps([[one] for one in sorted(named)])).scalars())

    def _elsewhere(self) -> set[int]:
        """The registrations whose row now belongs to somebody else, since a reload reused its id: the row has another
        address, and was deleted or inserted, or the old address is in another row."""
        renamed = [
            (row.id, known)
            for row in self.rows
            for known in self.by_row.get(row.id, ())
            if known.webinar == row.webinar and known.address_folded != self.people[row.id][1]
        ]
        if not renamed:
            return set()
        again = self.written_again | self._written_later(row for row, _ in renamed)
        found = self.registrants.find_anywhere(
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
        """The rows among these that were deleted or inserted according to changes in later batches."""
        if not self.result.more:
            return set()
        later = f"operation IN :new_row AND {self.engine.among('registrant_id', 'ids')}"
        query = f"SELECT DISTINCT registrant_id FROM registrant_change WHERE {later}"
        return set(execute(self.conn, query, new_row=_NEW_ROW, ids=as_list(self.conn, ids)).scalars())

    # Matching rows to registrations

    def absorb(self) -> None:
        for row in self.rows:
            if reason := why_unusable(row, self.webinars.keys()):
                self._keep_last_sound(row)
            else:
                reason = self._match(row)
            if reason:
                self.aside.append((row.id, row.webinar, reason))
        for number in self.ids:
            if number not in self.people:
                self._absorb_missing(number)
        self._find_lost()

    def _keep_last_sound(self, row: Row) -> None:
        """Keep the registration of an unusable row as its last sound version, unless that was for another webinar."""
        for known in list(self.by_row.get(row.id, ())):
            if known.webinar != row.webinar:
                self._lose(known)

    def _match(self, row: Row) -> str:
        """Match one sound row to a registration, old or new. Returns why the row must be set aside, or ''."""
        person = self.people[row.id]
        at_row = self._at_row(row.id, person)
        same = self._same_person(person, at_row)
        if same and same is not at_row and self._has_row_of_its_own(same):
            if at_row:  # it stays as it was planned
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
        """The registration that this row still belongs to. Other registrations that refer to the row lose it."""
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
        """Whether its row still exists for its person. INSERT OR REPLACE deletes rows without firing a trigger."""
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
        """Add a registration, with the UID and key of the person's last one: they may still have its calendar entry
        and mails with its links."""
        earlier = reversed(self.by_person.get(person, []))
        last = max(earlier, key=lambda known: known.gone_at or self.now, default=None)
        names = last.values if last else {"uid": new_uid(self.webinars[row.webinar]), "key": new_key()}
        values = {**_NOWHERE, **self._values(row, person), "uid": names["uid"], "key": names["key"]}
        self._add(_Known(None, row.webinar, row.id, person[1], None, values, changed=True))

    def _update(self, known: _Known, row: Row, folded: str) -> None:
        webinar, values = self.webinars[row.webinar], self._values(row, (row.webinar, folded))
        if known.address_folded != folded:
            self.freed.add(known.webinar)
            values |= {"uid": new_uid(webinar), "key": new_key()}
            known.plan_again = True
            if known.id is not None:
                self.former.append((str(known.values["uid"]), known.id))
                self.result.moved_address.append(known.id)
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

    def _values(self, row: Row, person: Person) -> dict[str, object]:
        """What a registration takes from its row. A language that the person chose outranks the row's until that is
        another one."""
        values, chosen = _values(row), self._chosen(person)
        if chosen.language and chosen.language_over != values["language"]:
            choices.drop_language(self.conn, self.now, person)
        elif chosen.language:
            values["language"] = chosen.language
        return values

    def _chosen(self, person: Person) -> Chosen:
        return self.chosen.get(person, NOTHING)

    def _link_waits(self, known: _Known, webinar: Webinar) -> dict[str, object]:
        """When the notice of a changed link may leave: like an edit, it waits from the last change."""
        until = known.values["link_until"]
        since = known.values["link_since"] if isinstance(until, datetime) and until > self.now else None
        first = since if isinstance(since, datetime) else self.now
        ends = takes_effect_at(self.now, first, webinar.notice_after, (webinar.start,))
        return {"link_since": first, "link_until": ends} if ends > self.now else {}

    def _absorb_missing(self, number: int) -> None:
        """Handle a row that is gone, or whose webinar is not known or has ended: its registrations lose it."""
        webinar = self.existing[number][0] if number in self.existing else None
        if webinar in self.webinars:  # deleted since `existing` was read
            webinar = None
        if webinar is not None and webinar not in self.ended:
            self.aside.append((number, webinar, UNKNOWN_WEBINAR))
        for known in self.by_row.pop(number, []):
            if known.webinar != webinar and (webinar is not None or known.webinar not in self.ended):
                self._lose(known)

    def _lose(self, known: _Known) -> None:
        if known.id is None:
            raise AssertionError("a registration of this very batch has its row")
        if known.registrant_id is not None and is_here(known.registrant_id):
            self.lost_here.add(known.id)
        known.registrant_id = None
        self.lost[known.id] = known

    def _find_lost(self) -> None:
        """Find registrations that lost their row in another one, as during a reload; that row has a change of its own,
        unless it was passed over. Registrations without any row are gone."""
        lost = list(self.lost.values())
        found = self.registrants.find_anywhere(
            {(one.webinar, str(one.values["address"])) for one in lost if one.webinar in self.webinars}
        )
        self.chosen |= choices.chosen(self.conn, {one.person for one in lost})
        for known in lost:
            number, known.changed = found.get(known.person), True
            if number is not None and known.gone_at is None and not self._taken_by_another(known, number):
                known.registrant_id = number
                if known.id in self.lost_here:
                    self.passed_over.append(number)
                    self._keep_choices(known, number)
            else:
                self._gone(known)

    def _keep_choices(self, known: _Known, number: int) -> None:
        """Let what a person chose outrank the other row of theirs, which counts from now on."""
        chosen = self._chosen(known.person)
        for row in self.registrants.read([number]):
            if chosen.zone:
                choices.choose_zone(self.conn, self.now, known.person, chosen.zone, row.timezone)
            if chosen.language:
                over = language_tag(row.language)
                choices.choose_language(self.conn, self.now, known.person, chosen.language, over)

    def _taken_by_another(self, known: _Known, number: int) -> bool:
        return any(
            other is not known and other.person == known.person for other in self.by_row.get(number, ())
        )

    def _gone(self, known: _Known) -> None:
        known.registrant_id, known.gone_at = None, known.gone_at or self.now
        if known.webinar not in self.ended:
            self.freed.add(known.webinar)
            known.plan_again = True

    # Writing

    def write(self) -> None:
        changed = [known for known in self.all if known.changed]
        self._resolve_zones(changed)
        self._insert([known for known in changed if known.id is None])
        self._write_changed([known for known in changed if known.id is not None])
        self._write_former_uids()
        self._write_set_aside()
        self._write_withdrawn()
        self._recheck_shared_addresses()
        if self.passed_over:
            note_changes(self.conn, self.passed_over)
            self.result.more = True

    def _resolve_zones(self, changed: Iterable[_Known]) -> None:
        somewhere = [one for one in changed if one.webinar in self.webinars and one.gone_at is None]
        zones = zones_of(self.conn, self.webinars, {one.place for one in somewhere})
        for known in somewhere:
            zone = self._chosen_zone(known) or zones[known.place]
            known.plan_again |= known.values["zone"] != zone["zone"]
            known.values |= zone

    def _chosen_zone(self, known: _Known) -> dict[str, str] | None:
        """The zone that the person chose, which outranks the row's time zone until that is another one."""
        chosen = self._chosen(known.person)
        if not chosen.zone:
            return None
        if chosen.zone_over != known.values["timezone"]:
            choices.drop_zone(self.conn, self.now, known.person)
            return None
        return {"zone": chosen.zone, "zone_known_by": CONFIRMED}

    def _insert(self, people: Iterable[_Known]) -> None:
        """Insert these registrations in one statement. Their plan is 0: they wait to be planned."""
        columns = {name: kind for name, kind in _COLUMNS.items() if name != "id"}
        names = ", ".join(columns)
        self._write(
            f"INSERT INTO registration ({names}, first_seen_at)"
            f" SELECT {names}, :now FROM {self.engine.rows('people', columns)} AS people",
            [self._cells(known, columns) for known in people],
            now=self.now,
        )

    def _write_changed(self, people: Iterable[_Known]) -> None:
        """Update these registrations in one statement, in the order of ids. Any edit has people planned again who have
        a mail that is held for their data."""
        columns = _COLUMNS | {"edited": "int", "plan_again": "int"}
        written = ", ".join(
            f"{name} = p.{name}" for name in _COLUMNS if name not in ("id", "webinar", *_LINK)
        )
        # Planning clears the times of links that wait, perhaps concurrently.
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

    def _write_former_uids(self) -> None:
        columns = {"uid": "text", "registration_id": "bigint"}
        self._write(
            "INSERT INTO former_uid (uid, registration_id) SELECT uid, registration_id"
            f" FROM {self.engine.rows('people', columns)} AS people WHERE TRUE ON CONFLICT DO NOTHING",
            [list(one) for one in self.former],
        )

    def _write_set_aside(self) -> None:
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

    def _write_withdrawn(self) -> None:
        """Write to the rows of people who withdrew or came back since when they do not come: a reload leaves it
        out."""
        people = self.people | self.second
        at = {number: self.chosen[one].withdrawn_at for number, one in people.items() if one in self.chosen}
        choices.write_withdrawn_at(
            self.conn, {number: at[number] for number in at if number in self.existing}
        )

    def _recheck_shared_addresses(self) -> None:
        """Have rows absorbed again that were set aside for sharing an address that is no longer in use."""
        if self.freed:
            again = execute(
                self.conn,
                "INSERT INTO registrant_change (registrant_id, webinar)"
                " SELECT registrant_id, webinar FROM row_set_aside WHERE webinar IN :webinars AND reason = :reason",
                webinars=self.freed,
                reason=SHARED_ADDRESS,
            )
            self.result.more |= again.rowcount > 0

    def _write(self, sql: str, rows: list[list[object]], **values: object) -> None:
        if rows:
            execute(self.conn, sql, people=json.dumps(rows), **values)


_COLUMNS = {
    "id": "bigint", "webinar": "text", "registrant_id": "bigint", "address": "text", "address_folded": "text",
    "uid": "text", "name": "text", "language": "text", "timezone": "text", "country": "text", "zone": "text",
    "zone_known_by": "text", "join_url": "text", "gone_at": "timestamptz", "link_since": "timestamptz",
    "link_until": "timestamptz", "key": "text",
}  # fmt: skip
_LINK = ("link_since", "link_until")
_VALUES = (
    "address", "uid", "name", "language", "timezone", "country", "zone", "zone_known_by", "join_url", *_LINK,
    "key",
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


def new_key() -> str:
    """A new key of a registration: 160 random bits in hexadecimal digits (`models.Registration`)."""
    return secrets.token_hex(20)


def new_uid(webinar: Webinar) -> str:
    """A new calendar UID, kept for life: not guessable, without the address (RFC 7986, 5.3), at the sender's domain."""
    return f"{secrets.token_hex(16)}@{webinar.sender.domain}"
