"""Reads a CSV of registrants as spreadsheets and registration systems save it.

Header names in any case and order; UTF-8 with or without BOM; comma, semicolon or tab. What a report has above its
header is passed over. A row that can't be read
is named by its line, and the rows after it count. Nothing that a registrant typed is ever quoted.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from scheduler.input.validation import shown
from scheduler.problem import Problem, Problems, nearest
from scheduler.timezones import LAST_YEAR

ALIASES = {
    "email": ("e-mail", "email address", "e-mail address", "mail", "courriel", "address"),
    "name": ("full name", "participant name", "participant", "nom complet"),
    "first_name": ("given name", "forename", "prénom"),
    "last_name": ("surname", "family name", "nom", "nom de famille"),
    "language": ("lang", "preferred language", "langue"),
    "timezone": ("time zone", "tz", "zone", "fuseau horaire"),
    "country": ("country code", "country/region", "country/region name", "pays"),
    "join_url": ("unique join url", "join link", "personal link", "link", "url"),
    "registered_at": ("registration time", "registered", "registration date", "created at"),
    "webinar": ("webinar id", "event"),
}
"""Our columns, and what others call them: where two columns of a file mean the same, the name further left counts.
First and last names are read as one name, where there is none."""
OURS = tuple(name for name in ALIASES if name not in ("first_name", "last_name"))
HEADER_WITHIN = 25  # rows: what reports have above their header is less


def _folded(name: str) -> str:
    """The form in which names of columns are compared."""
    return " ".join(name.translate({ord("_"): " ", ord("-"): " "}).casefold().split())


_RANKS = {
    _folded(name): (column, rank)
    for column, aliases in ALIASES.items()
    for rank, name in enumerate((column, *aliases))
}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
SAVE_AS = "save it as “CSV UTF-8”"
_SEPARATOR = re.compile(r"sep=([,;\t])\r?\n?", re.IGNORECASE)  # Excel's own first line
UNREADABLE = "a quotation mark is not closed or stands inside a value, or a value is too long"
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
    said = _SEPARATOR.fullmatch(lines[0]) if lines else None
    if said:
        lines[0] = "\n"
    delimiter = said[1] if said else _delimiter(lines)
    records = list(_records(lines, delimiter))
    if not records:
        raise Problems(
            [Problem(place, "the file is empty", "a header with `email`, then a row for each person")]
        )
    at = next((at for at, record in enumerate(records[:HEADER_WITHIN]) if _names_the_address(record)), 0)
    table = _Table(place, delimiter, records[at])
    return [table.row(record) for record in records[at + 1 :]], [
        *_passed_over(records[:at], place),
        *table.notes(),
    ]


def _names_the_address(record: _Record) -> bool:
    return any(_RANKS.get(_folded(cell), ("", 0))[0] == "email" for cell in record.cells)


def _passed_over(records: Sequence[_Record], place: str) -> list[Problem]:
    lines = [record.line for record in records]
    return [Problem(f"{place}, {lines_named(lines)}", "above the header, and not read")] if lines else []


def _decoded(raw: bytes, place: str) -> str:
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise Problems([Problem(place, "the file is a workbook", "a CSV", SAVE_AS)])
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or raw.count(0) * 3 > len(raw):
        raise Problems([Problem(place, "the file is UTF-16", "UTF-8", SAVE_AS)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Problems(
            [Problem(f"{place}, line {line}", "the file is not UTF-8", "UTF-8", SAVE_AS)]
        ) from None


def _delimiter(lines: Sequence[str]) -> str:
    """The one by which a header has the most columns that we know."""

    def known(delimiter: str) -> int:
        first = islice(_records(lines, delimiter), HEADER_WITHIN)
        return max((sum(_folded(cell) in _RANKS for cell in record.cells) for record in first), default=0)

    return max(DELIMITERS, key=known)


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
                if any(cell.strip(" \t,;") for cell in cells):
                    yield _Record(begins + 1, cells)
                begins = first + reader.line_num
        except csv.Error:
            yield _Record(begins + 1, unreadable=UNREADABLE)
            begins += 1


def _from(lines: Sequence[str], first: int) -> Iterator[str]:
    return (lines[number] for number in range(first, len(lines)))


class _Table:
    """What the header says of the rows, and what is noted while they are read."""

    def __init__(self, place: str, delimiter: str, header: _Record) -> None:
        self._place, self._delimiter, self._width = place, delimiter, len(header.cells)
        self._columns, self._unread = _columns(header, place)
        self._short: list[int] = []  # lines with fewer cells than the header
        self._untimed: list[int] = []  # lines whose registered_at is no time

    def row(self, record: _Record) -> CsvRow:
        cells = [cell.strip() for cell in record.cells]
        if unusable := record.unreadable or self._why_unusable(cells):
            return CsvRow(record.line, {}, unusable=unusable)
        if len(cells) < self._width:
            self._short.append(record.line)
        values = {name: cells[at] for name, at in self._columns.items() if at < len(cells) and cells[at]}
        parts = [values.pop(part, "") for part in ("first_name", "last_name")]
        if whole := " ".join(filter(None, parts)):
            values.setdefault("name", whole)
        said = values.pop("registered_at", "")
        registered_at = _instant(said)
        if said and not registered_at:
            self._untimed.append(record.line)
        return CsvRow(record.line, values, registered_at)

    def _why_unusable(self, cells: Sequence[str]) -> str:
        if any("\0" in cell for cell in cells):
            return "a value has a NUL character"
        if any(cells[self._width :]):
            found = f"{len(cells)} cells where the header has {self._width}"
            return f"{found}: a value with a {DELIMITERS[self._delimiter]} in it needs quotation marks"
        return ""

    def notes(self) -> list[Problem]:
        times = f"such as 2025-06-12T09:30:00Z, from 1970 to {LAST_YEAR}"
        return [
            *self._unread,
            *self._note(self._short, "fewer cells than the header", hint="those missing count as empty"),
            *self._note(self._untimed, "registered_at is not a time", times, "it is left out"),
        ]

    def _note(self, lines: Sequence[int], found: str, allowed: str = "", hint: str = "") -> list[Problem]:
        return [Problem(f"{self._place}, {lines_named(lines)}", found, allowed, hint)] if lines else []


def _columns(header: _Record, place: str) -> tuple[dict[str, int], list[Problem]]:
    """Where each of our columns is, and notes on those that are not read. Raises Problems."""
    here = f"{place}, line {header.line}"
    if header.unreadable:
        raise Problems([Problem(here, header.unreadable, "a header with `email`")])
    places: dict[str, list[tuple[int, int]]] = {}
    unread: dict[int, str] = {}
    for index, cell in enumerate(header.cells):
        name, rank = _RANKS.get(_folded(cell), ("", 0))
        if name:
            places.setdefault(name, []).append((rank, index))
        elif cell.strip():
            unread[index] = nearest(_folded(cell), OURS)
    if "email" not in places:  # perhaps there is no header, and these are people: nothing of it is quoted
        meant = [f"column {index + 1}: {hint}" for index, hint in unread.items() if "`email`" in hint]
        raise Problems(
            [Problem(here, "no column for the address", "a header with `email`", "; ".join(meant))]
        )
    columns = {name: min(found)[1] for name, found in places.items()}
    for name, found in places.items():
        if len({rank for rank, _ in found}) < len(found):
            raise Problems([Problem(here, f"two columns for {name}", "one")])
        unread |= {index: f"column {columns[name] + 1} is the {name}" for _, index in sorted(found)[1:]}
    return columns, [
        Problem(f"{place}, column {index + 1}", f"{shown(header.cells[index])} is not read", hint=hint)
        for index, hint in sorted(unread.items())
    ]


def _instant(value: str) -> datetime | None:
    """An instant in ISO 8601, or None; without an offset it is UTC."""
    try:
        said = datetime.fromisoformat(value)
        instant = said.astimezone(UTC) if said.tzinfo else said.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return instant if 1970 <= instant.year <= LAST_YEAR else None


def lines_named(lines: Sequence[int]) -> str:
    """ "line 3", "lines 3, 5 and 7", "lines 3, 4, 5, 6, 7 and 120 more"."""
    if len(lines) == 1:
        return f"line {lines[0]}"
    first, rest = lines[:LINES_NAMED], lines[LINES_NAMED:]
    named = [str(line) for line in first] + ([f"{len(rest)} more"] if rest else [])
    return f"lines {', '.join(named[:-1])} and {named[-1]}"
