"""Reads a file of registrants: its system, table and columns, which rows count and why others do not.

    bytes -> sheets (csv, workbook) -> tables -> columns -> rows

Nothing is written here, and a file of any length takes the same memory. The whole file is read once before the first
row: the meaning of a column depends on all its values.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import IO, NamedTuple

from scheduler.input.addresses import fold
from scheduler.input.validation import shown
from scheduler.problem import Problem, Problems
from scheduler.registrants.files.cells import (
    Order,
    clean_address,
    clean_cell,
    clean_name_of,
    cleaned,
    instant,
    is_address,
    joined,
    tidy,
    without_affiliation,
)
from scheduler.registrants.files.columns import NOT_KNOWN, NOT_NEEDED, Column, Columns, Survey, columns_of
from scheduler.registrants.files.csv import DELIMITERS, CsvFile
from scheduler.registrants.files.records import Lines, Record, Sheet, lines_named
from scheduler.registrants.files.statuses import is_cancelled, may_not_come, role_of, status_in, why_not
from scheduler.registrants.files.systems import system_of
from scheduler.registrants.files.tables import Table, of_people, tables_of
from scheduler.registrants.files.words import folded
from scheduler.registrants.files.workbook import Workbook, is_workbook
from scheduler.zones.wall import LAST_YEAR

HEADER = "a header with `email`, then a row for each person"
ATTENDEE = "attendee"
HOSTS = "they are registered and get the attendees' mails; without their rows, they do not"
Cells = list[str] | dict[int, str]
_NAMED = ("name", "first_name", "middle_name", "last_name", "webinar", "registered_at", "role")
_LONG = 1000  # characters: judgements of shorter statuses are cached
_MOST_NAMED = 10  # unread columns
_AS_THEY_ARE = ("language", "timezone", "country", "join_url")


class FileRow(NamedTuple):
    """One row of a file: the line at which it begins, its values by our column names, its time of registration (UTC).

    It counts unless it is `unusable` (the reason, if the file alone shows it), `left_out` by its status, or has an
    `unknown_status`.
    """

    line: int
    values: Mapping[str, str]
    registered_at: datetime | None = None
    unusable: str = ""
    left_out: str = ""
    unknown_status: str = ""
    status: str = ""
    role: str = ATTENDEE
    displayed: bool = False
    """Its name is only a display name, which may differ each time the person joined."""

    @property
    def counts(self) -> bool:
        return not (self.unusable or self.left_out or self.unknown_status)


@dataclass(frozen=True)
class _Read:
    """One table and the meaning of its columns."""

    table: Table
    columns: Columns


class RegistrantFile:
    """A file of registrants from any system. `rows` can be called again once the iteration before it has ended.

    `file` is binary and seekable. `webinars`: ids by which a column of webinars is recognized. `table`: the sheet or
    table to read if the file has several. `counting`: further statuses of people who attend.
    """

    def __init__(
        self,
        file: IO[bytes],
        place: str,
        webinars: Collection[str] = (),
        *,
        table: str = "",
        counting: Collection[str] = (),
    ) -> None:
        """Raises Problems if the file as a whole can't be used."""
        self._place = place
        self._counting = frozenset(map(folded, counting))
        self._noted = _Notes()
        self._doubts: list[Problem] = []
        sheets = self._sheets(file)
        tables = [found for sheet in sheets for found in tables_of(sheet)]
        chosen = self._of_people(sheets, tables, table)
        self._read = [_Read(found, columns_of(_survey(found), webinars, place)) for found in chosen]
        titles = {found.title for found in tables}
        self.system = system_of([found.header.cells for found in (*chosen, *tables)], titles)
        self._main = next((one for one in self._read if not one.table.role), self._read[-1])

    @property
    def table(self) -> str:
        """The name of the table or sheet that holds the registrants; "" if the file has only one."""
        return self._main.table.name

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of that table, with their meanings and the reasons."""
        return self._main.columns.read

    def rows(self) -> Generator[FileRow]:
        """All rows, from the first one."""
        self._noted = _Notes()
        for one in self._read:
            reader = _Rows(one.table, one.columns, self._counting, self._noted)
            with closing(one.table.records()) as records:
                for record in records:
                    yield reader.row(record)

    def notes(self) -> list[Problem]:
        """Notes on the rows that were read, and on lines and columns that were not."""
        above = [line for one in self._read[:1] for line in one.table.above]
        passed = (
            [Problem(f"{self._place}, {lines_named(above)}", "above the header, and not read")]
            if above
            else []
        )
        return [*self._doubts, *passed, *self._unread(), *self._noted.problems(self._place)]

    def _unread(self) -> list[Problem]:
        unread = [
            column
            for column in self.columns
            if not column.read_as and column.header and column.because != NOT_NEEDED
        ]
        unknown = [column for column in unread if column.because == NOT_KNOWN and not column.hint]
        alone = [column for column in unread if column not in unknown or len(unknown) == 1]
        found = [
            Problem(
                f"{self._place}, column {column.index + 1}",
                f"{shown(column.header)} is not read",
                hint=column.hint or column.because,
            )
            for column in alone
        ]
        if len(unknown) > 1:
            named = ", ".join(shown(column.header) for column in unknown[:_MOST_NAMED])
            more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
            words = f"{len(unknown)} columns are not read: {named}{more}"
            found.append(Problem(self._place, words, hint="no columns of these names are known"))
        return found

    def _sheets(self, file: IO[bytes]) -> Sequence[Sheet]:
        file.seek(0)
        if is_workbook(file.read(4)):
            self._workbook = Workbook(file, self._place)
            return self._workbook.sheets
        text = CsvFile(file, self._place)
        if text.encoding.doubtful:
            self._doubts.append(
                Problem(
                    self._place,
                    f"the file does not declare its encoding and is read as {text.encoding.name}",
                    "UTF-8",
                    "check whether the names are right",
                )
            )
        return [text.sheet()]

    def _of_people(self, sheets: Sequence[Sheet], tables: list[Table], asked: str) -> list[Table]:
        people = of_people(tables) or [table for table in tables if not table.title]
        if asked:
            wanted = [one for one in people if folded(asked) in (folded(one.title), folded(one.sheet.name))]
            if not wanted:
                names = ", ".join(dict.fromkeys(shown(one.name) for one in people if one.name)) or "none"
                raise Problems([Problem("--table", shown(asked), names)])
            return wanted
        if not people:
            raise Problems([self._no_table(sheets)])
        coming = [one for one in people if not one.left_out]
        if len({id(one.sheet) for one in coming}) > 1:
            names = ", ".join(dict.fromkeys(shown(one.sheet.name) for one in coming))
            raise Problems(
                [Problem(self._place, f"several sheets hold people: {names}", "one", "name it by --table")]
            )
        return people

    def _no_table(self, sheets: Sequence[Sheet]) -> Problem:
        for sheet in sheets:
            with closing(sheet.records()) as records:
                for record in records:
                    if record.unreadable:
                        where = f"{self._place}, line {record.line}"
                        return Problem(where, record.unreadable, "a header with `email`")
                    if record.cells:
                        return _no_column(self._place, record)
        return Problem(self._place, "the file is empty", HEADER)


def read_rows(raw: bytes, place: str) -> tuple[list[FileRow], list[Problem]]:
    """The rows of a short file, and notes on them. Raises Problems if the file as a whole can't be used."""
    file = RegistrantFile(io.BytesIO(raw), place)
    rows = list(file.rows())
    return rows, file.notes()


def _no_column(place: str, record: Record) -> Problem:
    """The problem of a header without an address column. It may be a person's row, so its addresses are not quoted."""
    try:
        columns_of(
            Survey(Record(record.line, [cell for cell in record.cells if not is_address(cell)])), (), place
        )
    except Problems as error:
        return error.problems[0]
    return Problem(f"{place}, line {record.line}", "no column for the address", "a header with `email`")


def _survey(table: Table) -> Survey:
    survey = Survey(table.header)
    with closing(table.records()) as records:
        for record in records:
            if not record.unreadable:
                survey.see(record)
    return survey


@dataclass
class _Notes:
    """The lines of odd rows, by kind, collected while rows are read."""

    short: Lines = field(default_factory=Lines)  # fewer cells than the header
    untimed: Lines = field(default_factory=Lines)  # registered_at is not a time
    cleaned: Lines = field(default_factory=Lines)  # the address was cleaned
    bracketed: Lines = field(default_factory=Lines)  # the name had an affiliation
    nameless: Lines = field(default_factory=Lines)  # the name was not a name
    other_address: Lines = field(default_factory=Lines)
    links: Lines = field(default_factory=Lines)
    hosts: Lines = field(default_factory=Lines)

    def problems(self, place: str) -> list[Problem]:
        times = f"such as 2025-06-12T09:30:00Z, from 1970 to {LAST_YEAR}, or a date whose order is clear"
        told = (
            (self.short, "fewer cells than the header", "", "those missing count as empty"),
            (self.untimed, "registered_at is not a time", times, "it is left out"),
            (self.cleaned, "extra characters were removed from the address", "", ""),
            (self.bracketed, "text in brackets behind the name is left out", "", ""),
            (self.nameless, "the name can't be used; the greeting leaves it out", "", ""),
            (self.other_address, "another column holds another address", "", "it is not read"),
            (self.hosts, "hosts and panelists", "", HOSTS),
        )
        return [
            Problem(f"{place}, {lines}", found, allowed, hint)
            for lines, found, allowed, hint in told
            if lines.count
        ]


class _Rows:
    """Makes FileRows from the records of one table."""

    def __init__(self, table: Table, columns: Columns, counting: frozenset[str], noted: _Notes) -> None:
        self._table, self._columns, self._counting, self._noted = table, columns, counting, noted
        self._width = len(table.header.cells)
        self._role = table.role
        self._order: Order = ""
        if columns.day_first is not None:
            self._order = "day first" if columns.day_first else "month first"
        # A column that the table lacks is read from the empty cell behind the last one.
        self._parts = itemgetter(*(columns.at.get(name, self._width) for name in _NAMED))
        self._values = [(name, columns.at[name]) for name in _AS_THEY_ARE if name in columns.at]
        self._said = [*columns.statuses, *columns.cancelled, *(index for index, _ in columns.doubted)]
        self._judged = lru_cache(maxsize=1024)(self._judge)  # most registrants share few statuses

    def row(self, record: Record) -> FileRow:
        line = record.line
        wide = len(record.cells) > self._width
        if unusable := record.unreadable or (self._too_many(record.cells) if wide else ""):
            return FileRow(line, {}, unusable=unusable)
        if len(record.cells) < self._width and self._table.sheet.delimiter:
            self._noted.short.add(line)
        cells = self._padded(record.cells)
        whole, first, middle, last, webinar, registered_at, role = self._parts(cells)
        values, problem = self._address(line, cells)
        name, displayed = self._name(line, whole, first, middle, last)
        if name or "name" in values:
            values["name"] = name or values["name"]
        for column, index in self._values:
            if (cell := cells[index]) and (value := clean_cell(cell)):
                values[column] = value
        if webinar := tidy(webinar):
            values["webinar"] = webinar  # unchanged: no id is taken for another
        said = [cells[index] for index in self._said]
        judge = self._judged if sum(map(len, said)) < _LONG else self._judge
        left_out, unknown, status = judge(*said)
        return FileRow(
            line,
            values,
            self._registered_at(line, registered_at),
            "" if left_out else problem,
            left_out,
            unknown,
            status,
            self._role_of(line, role),
            displayed,
        )

    def _padded(self, cells: Sequence[str]) -> Cells:
        """The cells, with empty ones for missing ones. Takes time by the length of the row, not of the header."""
        if len(cells) == self._width:
            return [*cells, ""]
        return defaultdict(str, enumerate(cells[: self._width]))

    def _too_many(self, cells: Sequence[str]) -> str:
        if not any(cell.strip() for cell in cells[self._width :]):
            return ""
        found = f"{len(cells)} cells where the header has {self._width}"
        if delimiter := self._table.sheet.delimiter:
            return f"{found}: a value with a {DELIMITERS[delimiter]} in it needs quotation marks"
        return found

    def _address(self, line: int, cells: Cells) -> tuple[dict[str, str], str]:
        found = [clean_address(cells[index].strip(" ")) for index in self._columns.emails]
        address = found[0]
        if len(found) > 1:
            found = [one for one in found if one.address] or found[:1]
            sound = [one for one in found if not one.problem]
            address = sound[0] if sound else found[0]
            different = len({fold(one.address) for one in sound}) > 1
            if different and self._columns.same_name:
                return {"email": address.address}, "two columns of the same name hold different addresses"
            if different:
                self._noted.other_address.add(line)
        if address.cleaned and not address.problem:
            self._noted.cleaned.add(line)
        values = {"email": address.address} if address.address else {}
        if address.name:
            values["name"] = address.name
        return values, "email holds two addresses" if address.problem == "holds two addresses" else ""

    def _name(self, line: int, said: str, first: str, middle: str, last: str) -> tuple[str, bool]:
        """The name, and whether it is only a display name."""
        parts = joined(clean_name_of(first, last), clean_name_of(middle), clean_name_of(last, first))
        whole = clean_name_of(said) if said else ""
        displayed = self._columns.displayed and not parts
        name = whole if displayed else (parts if self._columns.displayed else whole or parts)
        if not name and tidy(first + last + said):
            self._noted.nameless.add(line)
        short = without_affiliation(name, displayed=displayed)
        if short != name:
            self._noted.bracketed.add(line)
        return short, displayed

    def _registered_at(self, line: int, cell: str) -> datetime | None:
        if not cell or not (said := cleaned(cell)):
            return None
        found = instant(said, self._order)
        if not found:
            self._noted.untimed.add(line)
        return found

    def _role_of(self, line: int, cell: str) -> str:
        role = self._role or (role_of(said) if cell and (said := clean_cell(cell)) else ATTENDEE)
        if role in ("host", "panelist"):
            self._noted.hosts.add(line)
        return role

    def _judge(self, *cells: str) -> tuple[str, str, str]:
        """Why the person does not attend, an unknown status, and all statuses, from the cells of `_said`."""
        in_column = dict(zip(self._said, cells, strict=True))
        unknown, left_out = "", ""
        several = len(self._columns.statuses) > 1
        words = []
        for index in self._columns.statuses:
            if not (word := status_in(in_column[index])):
                continue
            words.append(word)
            said = f"{self._table.header.cells[index].strip()}: {word}" if several else word
            reason = why_not(word, codes=self._columns.codes)
            left_out = left_out or reason or ""
            if reason is None and self._counting.isdisjoint((folded(word), folded(said))):
                unknown = unknown or said
        for index in self._columns.cancelled:
            if not left_out and is_cancelled(clean_cell(in_column[index])):
                left_out = f"“{self._table.header.cells[index].strip()}” says {shown(tidy(in_column[index]))}"
        for index, meaning in self._columns.doubted:
            if (word := status_in(in_column[index])) and may_not_come(word, meaning):
                said = f"{self._table.header.cells[index].strip()}: {word}"
                words.append(said)
                if not unknown and self._counting.isdisjoint((folded(word), folded(said))):
                    unknown = said
        left_out = left_out or self._table.left_out
        return left_out, "" if left_out else unknown, "; ".join(dict.fromkeys(words))
