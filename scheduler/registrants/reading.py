"""Reads a CSV of registrants as spreadsheets and registration systems save it.

Header names in any case and order; UTF-8 with or without BOM; comma, semicolon or tab. A row that can't be read
is named by its line, and the rows after it count. Nothing that a registrant typed is ever quoted.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from scheduler.problem import Problem, Problems, nearest
from scheduler.timezones import LAST_YEAR
from scheduler.validation import shown

ALIASES = {
    "email": ("e-mail", "email address", "e-mail address", "mail", "courriel", "address"),
    "name": ("full name", "participant name", "participant", "nom"),
    "language": ("lang", "preferred language", "langue"),
    "timezone": ("time zone", "tz", "zone", "fuseau horaire"),
    "country": ("country code", "country/region", "country/region name", "pays"),
    "join_url": ("join link", "personal link", "link", "url"),
    "registered_at": ("registration time", "registered", "registration date", "created at"),
    "webinar": ("webinar id", "event"),
}
"""Our columns, and what others call them: where two columns of a file mean the same, the name further left counts."""

_RANKS = {
    name: (column, rank)
    for column, aliases in ALIASES.items()
    for rank, name in enumerate((column.replace("_", " "), *aliases))
}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
SAVE_AS = "save it as “CSV UTF-8”"
_SEPARATOR = re.compile(r"sep=([,;\t])\r?\n?", re.IGNORECASE)  # Excel's own first line
LINES_NAMED = 5


@dataclass(frozen=True)
class CsvRow:
    """One row of the file: the line at which it begins, its values by our column names, when it says it
    registered (UTC), and why it can't be used, where the file alone shows that."""

    line: int
    values: Mapping[str, str]
    registered_at: datetime | None = None
    unusable: str = ""


def read_csv(raw: bytes, place: str) -> tuple[list[CsvRow], list[Problem]]:
    """The rows of a CSV, and notes on what is left out of them.

    Raises Problems when the file as a whole can't be used.
    """
    lines = list(io.StringIO(_decoded(raw, place), newline=""))
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise Problems([Problem(place, "the file is empty", "a header with `email`, then a row for each person")])
    delimiter = _SEPARATOR.fullmatch(lines[first])
    if delimiter:
        lines[first] = "\n"
    table = _Table(place, lines, delimiter[1] if delimiter else _delimiter(lines))
    return table.rows(), table.notes()


def _decoded(raw: bytes, place: str) -> str:
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise Problems([Problem(place, "the file is a workbook", "a CSV", SAVE_AS)])
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or raw.count(0) * 3 > len(raw):
        raise Problems([Problem(place, "the file is UTF-16", "UTF-8", SAVE_AS)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Problems([Problem(f"{place}, line {line}", "the file is not UTF-8", "UTF-8", SAVE_AS)]) from None


def _delimiter(lines: Sequence[str]) -> str:
    """The one by which the header has the most columns that we know."""
    headers = {delimiter: next(_records(lines, delimiter), _Record(1)).cells for delimiter in DELIMITERS}
    return max(DELIMITERS, key=lambda delimiter: sum(_folded(cell) in _RANKS for cell in headers[delimiter]))


@dataclass(frozen=True)
class _Record:
    line: int
    cells: Sequence[str] = ()
    unreadable: str = ""


def _records(lines: Sequence[str], delimiter: str) -> Iterator[_Record]:
    """The rows that are not blank. After one that can't be read, the line behind its first one is the next: a
    quotation mark that is never closed takes nobody else along."""
    begins = 0
    while begins < len(lines):
        first = begins
        reader = csv.reader(_from(lines, first), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield _Record(begins + 1, cells)
                begins = first + reader.line_num
        except csv.Error:
            yield _Record(begins + 1, unreadable="a quotation mark is not closed, or stands inside a value")
            begins += 1


def _from(lines: Sequence[str], first: int) -> Iterator[str]:
    return (lines[number] for number in range(first, len(lines)))


@dataclass
class _Table:
    place: str
    lines: Sequence[str]
    delimiter: str
    header: list[Problem] = field(default_factory=list)
    short: list[int] = field(default_factory=list)  # lines with fewer cells than the header
    untimed: list[int] = field(default_factory=list)  # lines whose registered_at is no time

    def rows(self) -> list[CsvRow]:
        records = _records(self.lines, self.delimiter)
        header = next(records)
        columns = self._columns(header)
        return [self._row(record, columns, len(header.cells)) for record in records]

    def notes(self) -> list[Problem]:
        return [
            *self.header,
            *_note(self.place, self.short, "fewer cells than the header", hint="those missing count as empty"),
            *_note(
                self.place,
                self.untimed,
                "registered_at is not a time",
                f"such as 2025-06-12T09:30:00Z, from 1970 to {LAST_YEAR}",
                "it is left out",
            ),
        ]

    def _row(self, record: _Record, columns: Mapping[str, int], width: int) -> CsvRow:
        cells = [cell.strip() for cell in record.cells]
        if record.unreadable:
            return CsvRow(record.line, {}, unusable=record.unreadable)
        if any("\0" in cell for cell in cells):
            return CsvRow(record.line, {}, unusable="a value has a NUL character")
        if any(cells[width:]):
            found = f"{len(cells)} cells where the header has {width}: a value with a {DELIMITERS[self.delimiter]}"
            return CsvRow(record.line, {}, unusable=f"{found} in it needs quotation marks")
        if len(cells) < width:
            self.short.append(record.line)
        values = {
            column: cells[index] for column, index in columns.items() if index < len(cells) and cells[index]
        }
        said = values.pop("registered_at", "")
        registered_at = _instant(said)
        if said and not registered_at:
            self.untimed.append(record.line)
        return CsvRow(record.line, values, registered_at)

    def _columns(self, header: _Record) -> dict[str, int]:
        """Where each of our columns is. What is not read is noted, with the name that it may be meant to be."""
        ranked: dict[str, list[tuple[int, int]]] = {}
        unread: list[int] = []
        for index, cell in enumerate(header.cells):
            column, rank = _RANKS.get(_folded(cell), ("", 0))
            if column:
                ranked.setdefault(column, []).append((rank, index))
            elif cell.strip():
                unread.append(index)
        here = f"{self.place}, line {header.line}"
        if "email" not in ranked:  # perhaps there is no header, and these are people: nothing is quoted
            meant = [
                f"column {index + 1}: {hint}"
                for index in unread
                if "email" in (hint := nearest(_folded(header.cells[index]), ["email", "email address"]))
            ]
            allowed = "a header with `email`"
            raise Problems([Problem(here, "no column for the address", allowed, "; ".join(meant))])
        if twice := [name for name, places in ranked.items() if len({rank for rank, _ in places}) < len(places)]:
            raise Problems([Problem(here, f"two columns for {name}", "one") for name in twice])
        columns = {name: min(places)[1] for name, places in ranked.items()}
        for name, places in ranked.items():
            unread += [index for _, index in places if index != columns[name]]
        for index in sorted(unread):
            name = " ".join(header.cells[index].split())
            place = f"{self.place}, column {index + 1}"
            self.header.append(Problem(place, f"{shown(name)} is not read", hint=nearest(name, _RANKS)))
        return columns


def _folded(cell: str) -> str:
    return " ".join(cell.replace("_", " ").casefold().split())


def _instant(value: str) -> datetime | None:
    """An instant in ISO 8601, or None; without an offset it is UTC."""
    try:
        said = datetime.fromisoformat(value)
        instant = said.astimezone(UTC) if said.tzinfo else said.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return instant if 1970 <= instant.year <= LAST_YEAR else None


def _note(place: str, lines: Sequence[int], found: str, allowed: str = "", hint: str = "") -> list[Problem]:
    return [Problem(f"{place}, {lines_named(lines)}", found, allowed, hint)] if lines else []


def lines_named(lines: Sequence[int]) -> str:
    """ "line 3", "lines 3, 5 and 7", "lines 3, 4, 5, 6, 7 and 120 more"."""
    if len(lines) == 1:
        return f"line {lines[0]}"
    first, rest = lines[:LINES_NAMED], lines[LINES_NAMED:]
    named = [str(line) for line in first] + ([f"{len(rest)} more"] if rest else [])
    return f"lines {', '.join(named[:-1])} and {named[-1]}"
