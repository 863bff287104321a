"""Writes the rows of a file to `registrants`.

A row that can't be used is reported with its line and reason; the rest is imported. Importing a file again changes
nothing. An empty cell leaves the stored value. A file of any length takes the same memory and is written in short
transactions; after an interruption, importing the file again writes the rest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from itertools import islice

from sqlalchemy import Connection

from scheduler.database.chunk import Chunk
from scheduler.database.engine import Database, as_list, dialect, execute
from scheduler.input.addresses import fold
from scheduler.problem import Problem
from scheduler.registrants.again import note_changes
from scheduler.registrants.files.judging import LOST, Import, Judgement, judged, quoted
from scheduler.registrants.files.reading import FileRow, RegistrantFile
from scheduler.registrants.files.records import Lines
from scheduler.registrants.forgotten import not_forgotten, registered_again
from scheduler.registrants.languages import language_tag
from scheduler.registrants.rows import Person, Registrants, Row
from scheduler.registrants.sources import keep_rows_of
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import zone_of

_EDITABLE = ("name", "language", "timezone", "country", "join_url")
_MOST_VALUES = 3  # shown for one mistake
_TAKEN = "the database treats its address as another row's"


@dataclass
class ImportReport:
    """The result of an import. `through`: the last line whose row is in the database."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    through: int = 0
    rejected: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


def import_rows(
    conn: Connection,
    rows: Sequence[FileRow],
    place: str,
    *,
    webinars: Collection[str],
    default_webinar: str,
    already_confirmed: bool = False,
    registered_again: datetime | None = None,
) -> ImportReport:
    """Write a few rows to `registrants` in this transaction. The service plans them once it sees them."""
    asked = Import(place, webinars, default_webinar, already_confirmed, registered_again)
    report, usable = ImportReport(), dict[Person, FileRow]()
    for judgement in judged(lambda: rows, asked):
        if judgement.kind == "counts":
            usable[asked.person(judgement.row)] = judgement.row
        elif judgement.kind in LOST:
            report.rejected.append(judgement.problem(place))
        else:
            report.notes.append(judgement.problem(place))
    _Writing(conn, asked, report).write(usable, {})
    return report


def import_file(
    database: Database,
    file: RegistrantFile,
    asked: Import,
    report: ImportReport,
    left_out: Callable[[Judgement], None],
    look_at: Callable[[FileRow], None] = lambda row: None,
) -> None:
    """Write a whole file to `registrants` in short transactions, each with the confirmations of its rows, and add the
    results to `report`. `left_out` is called for each row that does not count, `look_at` for each row that does.
    `report.rejected` holds the rows that the database refuses."""
    piece, odd, written_at = Chunk(others_wait=True), dict[str, dict[Person, int]](), 0.0
    with closing(_usable(file, asked, left_out, look_at)) as rows:
        while usable := dict(islice(rows, piece.rows)):
            # Other writers also get their turn while the next rows are read.
            time.sleep(max(0.0, written_at + piece.pause - time.monotonic()))
            for webinar in {webinar for webinar, _ in usable} - odd.keys():
                with database.reading() as conn:
                    odd[webinar] = Registrants(conn).odd(webinar)
            began = time.monotonic()
            done = database.in_transaction(partial(_written, asked=asked, usable=usable, odd=odd))
            written_at = time.monotonic()
            piece.record(len(usable), written_at - began)
            report.new += done.new
            report.updated += done.updated
            report.unchanged += done.unchanged
            report.through = max(row.line for row in usable.values())
            report.rejected += done.rejected


def _usable(
    file: RegistrantFile,
    asked: Import,
    left_out: Callable[[Judgement], None],
    look_at: Callable[[FileRow], None],
) -> Generator[tuple[Person, FileRow]]:
    """The rows to write."""
    with closing(judged(file.rows, asked)) as judgements:
        for judgement in judgements:
            if judgement.kind != "counts":
                left_out(judgement)
                continue
            look_at(judgement.row)
            yield asked.person(judgement.row), judgement.row


def _written(
    conn: Connection,
    asked: Import,
    usable: Mapping[Person, FileRow],
    odd: Mapping[str, Mapping[Person, int]],
) -> ImportReport:
    report = ImportReport()
    _Writing(conn, asked, report).write(usable, odd)
    return report


class _Writing:
    """One transaction of an import."""

    def __init__(self, conn: Connection, asked: Import, report: ImportReport) -> None:
        self._conn, self._engine, self._asked, self._report = conn, dialect(conn), asked, report
        self._registrants = Registrants(conn)

    def write(self, usable: Mapping[Person, FileRow], odd: Mapping[str, Mapping[Person, int]]) -> None:
        """Insert or update these rows. `odd`: known results of `Registrants.odd`, by webinar."""
        if self._asked.registered_again:
            registered_again(self._conn, self._asked.registered_again, usable.keys())
        if self._asked.already_confirmed:  # before the service can see the rows
            self._confirm(not_forgotten(self._conn, usable.keys()))
        there = self._there(usable, odd)
        if self._asked.registered_again:  # also people whose rows have not changed
            note_changes(self._conn, [row.id for row in there.values()])
        keep_rows_of(self._conn, usable.keys())
        changed = self._update(usable, there)
        new = {person: row for person, row in usable.items() if person not in there}
        inserted = self._insert(new)
        lacking = 0
        # Others were written concurrently, or have an address that the database treats as another row's.
        if inserted < len(new):
            here = self._there(new, {})
            lacking = len(new) - len(here)
            changed += self._update(new, here)
            for person in new.keys() - here.keys():
                self._report.rejected.append(
                    Judgement(new[person], "error", _TAKEN).problem(self._asked.place)
                )
        self._report.new += inserted
        self._report.updated += changed
        self._report.unchanged += len(usable) - inserted - changed - lacking

    def _there(
        self, people: Mapping[Person, FileRow], odd: Mapping[str, Mapping[Person, int]]
    ) -> dict[Person, Row]:
        """The existing rows of these people."""
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

    def _update(self, people: Mapping[Person, FileRow], there: Mapping[Person, Row]) -> int:
        """Update the rows that differ and return their number. The spelling of the address is not compared."""
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
                execute(
                    self._conn,
                    f"UPDATE registrants SET {written} FROM {given} AS p"
                    f" WHERE {self._engine.equal('registrants.id', 'p.id')}",
                    people=json.dumps(sorted(changes, key=lambda change: int(str(change[0])))),
                )
        return len(changes)

    def _insert(self, people: Mapping[Person, FileRow]) -> int:
        """Insert these people and return the number of new rows."""
        if not people:
            return 0
        rows = []
        for (webinar, _), row in people.items():
            values: dict[str, object] = {**row.values, "webinar": webinar}
            if isinstance(row.registered_at, datetime):
                values["registered_at"] = self._engine.written(row.registered_at)
            rows.append(values)
        return self._registrants.insert(rows).rowcount

    def _confirm(self, people: Iterable[Person]) -> None:
        """Record that another system confirmed these people, and replan existing registrations."""
        given = self._engine.rows("people", {"webinar": "text", "folded": "text"})
        marked = execute(
            self._conn,
            f"INSERT INTO confirmed_elsewhere (webinar, address_folded) SELECT webinar, folded FROM {given} AS p"
            " WHERE TRUE ON CONFLICT DO NOTHING RETURNING webinar, address_folded",
            people=json.dumps(sorted(people)),
        )
        new = sorted((row.webinar, row.address_folded) for row in marked)
        with self._engine.by_index(self._conn):
            here = execute(
                self._conn,
                f"SELECT r.id FROM {given} AS p {self._engine.join_next} registration r"
                f" ON {self._engine.equal('r.address_folded', 'p.folded')} AND r.webinar || '' = p.webinar",
                people=json.dumps(new),
            )
            execute(
                self._conn,
                f"UPDATE registration SET plan = 0 WHERE {self._engine.among('id', 'ids')}",
                ids=as_list(self._conn, sorted(here.scalars())),
            )


@dataclass
class _Odd:
    """Values with the same mistake: their lines and the first few values."""

    lines: Lines = field(default_factory=Lines)
    values: list[str] = field(default_factory=list)

    def add(self, line: int, value: str) -> None:
        self.lines.add(line)
        if len(self.values) <= _MOST_VALUES and value not in self.values:
            self.values.append(value)

    @property
    def shown(self) -> str:
        more = ", …" if len(self.values) > _MOST_VALUES else ""
        return ", ".join(self.values[:_MOST_VALUES]) + more


class Oddities:
    """Time zones, countries and languages that can't be used, with their lines. Other evidence replaces them."""

    def __init__(self, place: str, webinars: Mapping[str, Webinar], default_webinar: str) -> None:
        self._place, self._webinars, self._default = place, webinars, default_webinar
        self._zones: dict[str, _Odd] = {}
        self._languages = Lines()
        self._problem = lru_cache(maxsize=4096)(self._zone_problem)  # most registrants share few places

    def look_at(self, row: FileRow) -> None:
        if (said := row.values.get("language")) and not language_tag(said):
            self._languages.add(row.line)
        webinar = row.values.get("webinar", self._default)
        problem, values = self._problem(
            webinar, row.values.get("timezone", ""), row.values.get("country", "")
        )
        if problem:
            self._zones.setdefault(problem, _Odd()).add(row.line, values)

    def _zone_problem(self, webinar_id: str, timezone: str, country: str) -> tuple[str, str]:
        """Why a time zone or country can't be used, and its value: a short one, as the row counts."""
        webinar = self._webinars.get(webinar_id)
        problem = zone_of(timezone, country, webinar.tz, webinar.start).problem if webinar else ""
        named = (("time zone", timezone), ("country", country))
        return problem, " and ".join(quoted(value) for name, value in named if value and name in problem)

    def problems(self) -> list[Problem]:
        told = "other evidence of the person is used"
        found = [
            Problem(f"{self._place}, {odd.lines}", f"{problem}: {odd.shown}", hint=told)
            for problem, odd in self._zones.items()
        ]
        if self._languages.count:
            allowed, hint = "a name or a tag such as French or fr", "the webinar's first language counts"
            here = f"{self._place}, {self._languages}"
            found.append(Problem(here, "language is not known", allowed, hint))
        return found
