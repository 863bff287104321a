"""Writes the rows of a CSV to `registrants`.

A row that can't be used is reported with its line and reason; the rest is imported. The same file twice
changes nothing. An empty cell leaves what is there. A file of any length takes the same memory and is written in short
transactions; where that ends half way, the same file again does the rest.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from hashlib import blake2b
from itertools import islice

from sqlalchemy import Connection

from scheduler.database.engine import Database, as_list, dialect, run
from scheduler.input.addresses import fold
from scheduler.ledger.chunk import Chunk
from scheduler.problem import Problem
from scheduler.registrants.again import note_changes
from scheduler.registrants.forgetting import not_forgotten, registered_again
from scheduler.registrants.languages import language_tag
from scheduler.registrants.reading import CsvFile, CsvRow, Lines
from scheduler.registrants.rows import COLUMNS, Person, Registrants, Row, why_unusable
from scheduler.timezones import Zone, zone_of
from scheduler.webinar import Webinar

LEFT_OUT = "the row is left out"
_EDITABLE = ("name", "language", "timezone", "country", "join_url")
_TAKEN = "the database takes its address for that of another row"


@dataclass
class Report:
    """What an import did, by line. `through`: up to which line rows are in the database."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    through: int = 0
    rejected: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Import:
    """How the rows of one file are to be understood."""

    place: str
    webinars: Collection[str]
    default_webinar: str
    already_confirmed: bool = False
    registered_again: datetime | None = None
    """When somebody said that these people registered again, whoever of them was forgotten before."""

    def person(self, row: CsvRow) -> Person:
        return row.values.get("webinar", self.default_webinar), fold(row.values.get("email", ""))

    def why_not(self, row: CsvRow) -> Problem | None:
        """Why a row can't be used."""
        whole = Row(0, **{"webinar": self.default_webinar, "email": "", **row.values})
        nowhere = "" if whole.webinar else "no webinar is named, here or by --webinar"
        reason = row.unusable or nowhere or why_unusable(whole, self.webinars)
        return self.left_out(row, reason) if reason else None

    def left_out(self, row: CsvRow, reason: str) -> Problem:
        return Problem(f"{self.place}, line {row.line}", reason, hint=LEFT_OUT)

    def repeated(self, row: CsvRow, first: int) -> Problem:
        found, allowed = f"has the address of line {first}", "one registrant for each address"
        return Problem(f"{self.place}, line {row.line}", found, allowed, "the last of them counts")


def import_rows(
    conn: Connection,
    rows: Iterable[CsvRow],
    place: str,
    *,
    webinars: Collection[str],
    default_webinar: str,
    already_confirmed: bool = False,
    registered_again: datetime | None = None,
) -> Report:
    """Write these few rows to `registrants`, in this transaction; the service plans them when it sees them."""
    asked = Import(place, webinars, default_webinar, already_confirmed, registered_again)
    report = Report()
    first_lines: dict[Person, int] = {}
    usable: dict[Person, CsvRow] = {}
    for row in rows:
        if problem := asked.why_not(row):
            report.rejected.append(problem)
            continue
        person = asked.person(row)
        if person in first_lines:
            report.notes.append(asked.repeated(row, first_lines[person]))
        first_lines.setdefault(person, row.line)
        usable[person] = row
    _Writing(conn, asked, report).write(usable, {})
    return report


def import_file(
    database: Database,
    file: CsvFile,
    asked: Import,
    report: Report,
    tell: Callable[[Problem], None],
    look_at: Callable[[CsvRow], None] = lambda row: None,
) -> None:
    """Write a whole file to `registrants` in short transactions, each with the confirmations of its rows, and count in
    `report` what was done. `tell` is called for what is wrong with a row, `look_at` for each row; by line."""
    piece, odd = Chunk(others_wait=True), dict[str, dict[Person, int]]()
    with closing(_LinesOfPeople()) as lines, closing(_usable(file, asked, lines, tell, look_at)) as rows:
        while usable := dict(islice(rows, piece.rows)):
            for webinar in {webinar for webinar, _ in usable} - odd.keys():
                with database.reading() as conn:
                    odd[webinar] = Registrants(conn).odd(webinar)
            began = time.monotonic()
            done = database.in_transaction(partial(_written, asked=asked, usable=usable, odd=odd))
            piece.took(len(usable), time.monotonic() - began)
            time.sleep(piece.pause)
            report.new += done.new
            report.updated += done.updated
            report.unchanged += done.unchanged
            report.through = max(row.line for row in usable.values())
            for problem in done.rejected:
                tell(problem)


def _usable(
    file: CsvFile,
    asked: Import,
    lines: _LinesOfPeople,
    tell: Callable[[Problem], None],
    look_at: Callable[[CsvRow], None],
) -> Generator[tuple[Person, CsvRow]]:
    """The rows that are to be written: of each person's the last. For that the file is read twice."""
    with closing(file.rows()) as rows:
        lines.note((asked.person(row), row.line) for row in rows if not asked.why_not(row))
    with closing(file.rows()) as rows:
        for row in rows:
            look_at(row)
            if problem := asked.why_not(row):
                tell(problem)
                continue
            person = asked.person(row)
            first, last = lines.of(person)
            if row.line != first:
                tell(asked.repeated(row, first))
            if row.line == last:
                yield person, row


class _LinesOfPeople:
    """The first and the last line of each person, on disk while the import lasts. No address is written there."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # a file without a name
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(
            "CREATE TABLE lines (person BLOB PRIMARY KEY, first INTEGER, last INTEGER) WITHOUT ROWID"
        )

    def note(self, people: Iterable[tuple[Person, int]]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT INTO lines VALUES (?, ?, ?) ON CONFLICT (person) DO UPDATE SET last = excluded.last",
            ((_digest(person), line, line) for person, line in people),
        )
        self._db.execute("COMMIT")

    def of(self, person: Person) -> tuple[int, int]:
        found = "SELECT first, last FROM lines WHERE person = ?"
        first, last = self._db.execute(found, (_digest(person),)).fetchone()
        return first, last

    def close(self) -> None:
        self._db.close()


def _digest(person: Person) -> bytes:
    return blake2b("\0".join(person).encode("utf-8", "replace"), digest_size=16).digest()


def _written(
    conn: Connection,
    asked: Import,
    usable: Mapping[Person, CsvRow],
    odd: Mapping[str, Mapping[Person, int]],
) -> Report:
    report = Report()
    _Writing(conn, asked, report).write(usable, odd)
    return report


class _Writing:
    """One transaction of an import."""

    def __init__(self, conn: Connection, asked: Import, report: Report) -> None:
        self._conn, self._engine, self._asked, self._report = conn, dialect(conn), asked, report
        self._registrants = Registrants(conn)

    def write(self, usable: Mapping[Person, CsvRow], odd: Mapping[str, Mapping[Person, int]]) -> None:
        """`odd`: what is known of `Registrants.odd`, by webinar."""
        if self._asked.registered_again:
            registered_again(self._conn, self._asked.registered_again, usable.keys())
        if self._asked.already_confirmed:  # before the rows: who is seen is confirmed already
            self._confirm(not_forgotten(self._conn, usable.keys()))
        there = self._there(usable, odd)
        if self._asked.registered_again:  # also those whose rows say nothing new
            note_changes(self._conn, [row.id for row in there.values()])
        changed = self._update(usable, there)
        new = {person: row for person, row in usable.items() if person not in there}
        inserted = self._insert(new)
        lacking = 0
        if inserted < len(
            new
        ):  # somebody else wrote them at this moment, or they are another's for the database
            here = self._there(new, {})
            lacking = len(new) - len(here)
            changed += self._update(new, here)
            for person in new.keys() - here.keys():
                self._report.rejected.append(self._asked.left_out(new[person], _TAKEN))
        self._report.new += inserted
        self._report.updated += changed
        self._report.unchanged += len(usable) - inserted - changed - lacking

    def _there(
        self, people: Mapping[Person, CsvRow], odd: Mapping[str, Mapping[Person, int]]
    ) -> dict[Person, Row]:
        """The rows of these people."""
        known: dict[Person, int] = {}
        for webinar in {webinar for webinar, _ in people}:
            known |= odd[webinar] if webinar in odd else self._registrants.odd(webinar)
        with self._engine.by_index(self._conn):
            written = [(webinar, people[webinar, folded].values["email"]) for webinar, folded in people]
            known = {one: known[one] for one in people.keys() & known.keys()} | self._registrants.find(
                written
            )
            rows = self._registrants.read(known.values())
        there = {(row.webinar, fold(row.email)): row for row in rows}
        return {person: there[person] for person in people.keys() & there.keys()}

    def _update(self, people: Mapping[Person, CsvRow], there: Mapping[Person, Row]) -> int:
        """Write what differs, by the rows' ids. The same address in other letters is no difference."""
        columns = [name for name in _EDITABLE if name in self._registrants.columns]
        changes: list[list[object]] = []
        for person, before in there.items():
            values = people[person].values
            said = [
                values.get(name) if values.get(name) != getattr(before, name) else None for name in columns
            ]
            if any(said):
                changes.append([before.id, *said])
        if changes:
            given = self._engine.rows("people", {"id": "bigint", **dict.fromkeys(columns, "text")})
            written = ", ".join(f"{name} = coalesce(p.{name}, registrants.{name})" for name in columns)
            with self._engine.by_index(self._conn):
                run(
                    self._conn,
                    f"UPDATE registrants SET {written} FROM {given} AS p"
                    f" WHERE {self._engine.equal('registrants.id', 'p.id')}",
                    people=json.dumps(sorted(changes, key=lambda change: int(str(change[0])))),
                )
        return len(changes)

    def _insert(self, people: Mapping[Person, CsvRow]) -> int:
        """Returns how many rows there are more now."""
        if not people:
            return 0
        types = dict.fromkeys(COLUMNS, "text") | {"registered_at": "timestamptz"}
        columns = {name: kind for name, kind in types.items() if name in self._registrants.columns}
        rows = []
        for (webinar, _), row in people.items():
            values: dict[str, object] = {**row.values, "webinar": webinar}
            if isinstance(row.registered_at, datetime):
                values["registered_at"] = self._engine.written(row.registered_at)
            rows.append([values.get(name) for name in columns])
        names = ", ".join(columns)
        return run(
            self._conn,
            f"INSERT INTO registrants ({names}) SELECT {names} FROM {self._engine.rows('people', columns)} AS p"
            " WHERE TRUE ON CONFLICT DO NOTHING",
            people=json.dumps(rows),
        ).rowcount

    def _confirm(self, people: Iterable[Person]) -> None:
        """Whom another system confirmed. Those who are here already are planned again."""
        given = self._engine.rows("people", {"webinar": "text", "folded": "text"})
        marked = run(
            self._conn,
            f"INSERT INTO confirmed_elsewhere (webinar, address_folded) SELECT webinar, folded FROM {given} AS p"
            " WHERE TRUE ON CONFLICT DO NOTHING RETURNING webinar, address_folded",
            people=json.dumps(sorted(people)),
        )
        new = sorted((row.webinar, row.address_folded) for row in marked)
        with self._engine.by_index(self._conn):
            here = run(
                self._conn,
                f"SELECT r.id FROM {given} AS p {self._engine.join_next} registration r"
                f" ON {self._engine.equal('r.address_folded', 'p.folded')} AND r.webinar || '' = p.webinar",
                people=json.dumps(new),
            )
            run(
                self._conn,
                f"UPDATE registration SET plan = 0 WHERE {self._engine.among('id', 'ids')}",
                ids=as_list(self._conn, sorted(here.scalars())),
            )


class Oddities:
    """What can't be used of time zones, countries and languages, with the lines. Other evidence counts there."""

    def __init__(self, place: str, webinars: Mapping[str, Webinar], default_webinar: str) -> None:
        self._place, self._webinars, self._default = place, webinars, default_webinar
        self._zones: dict[str, Lines] = {}
        self._languages = Lines()

    def look_at(self, row: CsvRow) -> None:
        if (said := row.values.get("language")) and not language_tag(said):
            self._languages.add(row.line)
        webinar = self._webinars.get(row.values.get("webinar", self._default))
        if webinar is None:
            return
        timezone, country = row.values.get("timezone", ""), row.values.get("country", "")
        if problem := _zone_problem(timezone, country, webinar.tz, webinar.start):
            self._zones.setdefault(problem, Lines()).add(row.line)

    def problems(self) -> list[Problem]:
        told = "what else is known of the person counts"
        found = [
            Problem(f"{self._place}, {lines}", problem, hint=told) for problem, lines in self._zones.items()
        ]
        if self._languages.count:
            allowed, hint = "a name or a tag such as French or fr", "the webinar's first language counts"
            here = f"{self._place}, {self._languages}"
            found.append(Problem(here, "language is not known", allowed, hint))
        return found


@lru_cache(maxsize=4096)
def _zone_problem(timezone: str, country: str, fallback: Zone, at: datetime) -> str:
    return zone_of(timezone, country, fallback, at).problem
