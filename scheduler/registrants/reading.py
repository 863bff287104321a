"""Reads a CSV of registrants as spreadsheets and registration systems save it.

Header names in any case and order; UTF-8 with or without BOM; comma, semicolon or tab. What a report has above its
header is passed over. A row that can't be read
is named by its line, and the rows after it count. Nothing that a registrant typed is ever quoted.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import IO

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
LONGEST = 2**20  # characters of a line, and of a row
_CHUNK = 2**20  # octets


@dataclass(frozen=True)
class CsvRow:
    """One row of the file: the line at which it begins, its values by our column names, when it says it
    registered (UTC), and why it can't be used, where the file alone shows that."""

    line: int
    values: Mapping[str, str]
    registered_at: datetime | None = None
    unusable: str = ""


class CsvFile:
    """A CSV whose rows are read one by one, as often as they are asked for. It takes no more memory however long it is.

    `file` is binary and can be read from its beginning again.
    """

    def __init__(self, file: IO[bytes], place: str) -> None:
        """Raises Problems when the file as a whole can't be used."""
        self._file, self._place = file, place
        _check_encoding(file, place)
        self._delimiter = self._said_delimiter() or self._likely_delimiter()
        head = self._head(self._delimiter)
        if not head:
            allowed = "a header with `email`, then a row for each person"
            raise Problems([Problem(place, "the file is empty", allowed)])
        at = next((at for at, record in enumerate(head) if _names_the_address(record)), 0)
        self._above, self._header = head[:at], head[at]
        self._table = _Table(place, self._delimiter, self._header)

    def rows(self) -> Generator[CsvRow]:
        """Each row, from the first on. One iteration ends before the next begins."""
        self._table = _Table(self._place, self._delimiter, self._header)
        with closing(self._records(self._delimiter)) as records:
            for record in islice(records, len(self._above) + 1, None):
                yield self._table.row(record)

    def notes(self) -> list[Problem]:
        """What is left out of the rows that were read."""
        return [*_passed_over(self._above, self._place), *self._table.notes()]

    def _said_delimiter(self) -> str:
        with closing(_lines(self._file)) as lines:
            said = _SEPARATOR.fullmatch(next(lines, ""))
        return said[1] if said else ""

    def _likely_delimiter(self) -> str:
        """The one by which a header has the most columns that we know."""

        def known(delimiter: str) -> int:
            head = self._head(delimiter)
            return max((sum(_folded(cell) in _RANKS for cell in one.cells) for one in head), default=0)

        return max(DELIMITERS, key=known)

    def _head(self, delimiter: str) -> list[_Record]:
        with closing(self._records(delimiter)) as records:
            return list(islice(records, HEADER_WITHIN))

    def _records(self, delimiter: str) -> Generator[_Record]:
        with closing(_lines(self._file)) as lines:
            yield from _records(_without_separator(lines), delimiter)


def read_csv(raw: bytes, place: str) -> tuple[list[CsvRow], list[Problem]]:
    """The rows of a CSV, and notes on what is left out of them.

    Raises Problems when the file as a whole can't be used.
    """
    file = CsvFile(io.BytesIO(raw), place)
    rows = list(file.rows())
    return rows, file.notes()


def _names_the_address(record: _Record) -> bool:
    return any(_RANKS.get(_folded(cell), ("", 0))[0] == "email" for cell in record.cells)


def _passed_over(records: Sequence[_Record], place: str) -> list[Problem]:
    lines = [record.line for record in records]
    return [Problem(f"{place}, {lines_named(lines)}", "above the header, and not read")] if lines else []


def _check_encoding(file: IO[bytes], place: str) -> None:
    """Raises Problems where the file is not UTF-8."""
    file.seek(0)
    utf_16 = Problem(place, "the file is UTF-16", "UTF-8", SAVE_AS)
    begin = file.read(4)
    if begin.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise Problems([Problem(place, "the file is a workbook", "a CSV", SAVE_AS)])
    if begin.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Problems([utf_16])
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    octets = zeros = lines = wrong = 0
    while True:
        chunk = file.read(_CHUNK)
        if not wrong:
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                wrong = lines + error.object.count(b"\n", 0, error.start) + 1
        if not chunk:
            break
        octets, zeros, lines = octets + len(chunk), zeros + chunk.count(0), lines + chunk.count(b"\n")
    if zeros * 3 > octets:
        raise Problems([utf_16])
    if wrong:
        raise Problems([Problem(f"{place}, line {wrong}", "the file is not UTF-8", "UTF-8", SAVE_AS)])


class _TooLong(str):
    """The beginning of a line that is too long."""

    __slots__ = ()


def _lines(file: IO[bytes]) -> Generator[str]:
    """The lines of a file from its beginning, with their ends. Of a line that is too long, its beginning."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        while line := text.readline(LONGEST):
            if len(line) < LONGEST or line.endswith(("\n", "\r")):
                yield line
                continue
            while (rest := text.readline(LONGEST)) and not rest.endswith(("\n", "\r")):
                pass
            yield _TooLong(line)
    finally:
        text.detach()


def _without_separator(lines: Iterator[str]) -> Iterator[str]:
    if first := next(lines, ""):
        yield "\n" if _SEPARATOR.fullmatch(first) else first
    yield from lines


@dataclass(frozen=True)
class _Record:
    line: int
    cells: Sequence[str] = ()
    unreadable: str = ""


def _records(lines: Iterator[str], delimiter: str) -> Generator[_Record]:
    """The rows that are not blank. After one that can't be read, the line behind its first one is the next: a
    quotation mark that is never closed takes nobody else along."""
    source, at_end = _Source(lines), False
    while not at_end:
        reader = csv.reader(iter(source), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if any(cell.strip(" \t,;") for cell in cells):
                    yield _Record(source.line, cells)
                source.forget()
            at_end = True
        except csv.Error:
            yield _Record(source.line, unreadable=UNREADABLE)
            source.back_to_second()


class _Source:
    """Lines for csv.reader, of which those of the present row can be read again."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.line = 1  # at which the present row begins
        self._lines, self._again = lines, deque[str]()
        self._row: list[str] = []
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._again.popleft() if self._again else next(self._lines, ""):
            self._row.append(line)
            self._length += len(line)
            if isinstance(line, _TooLong) or self._length > LONGEST:
                raise csv.Error
            yield line

    def forget(self) -> None:
        self._begin(len(self._row))

    def back_to_second(self) -> None:
        self._again.extendleft(reversed(self._row[1:]))
        self._begin(1)

    def _begin(self, after: int) -> None:
        self.line += after
        self._row.clear()
        self._length = 0


class _Table:
    """What the header says of the rows, and what is noted while they are read."""

    def __init__(self, place: str, delimiter: str, header: _Record) -> None:
        self._place, self._delimiter, self._width = place, delimiter, len(header.cells)
        self._columns, self._unread = _columns(header, place)
        self._short = Lines()  # with fewer cells than the header
        self._untimed = Lines()  # whose registered_at is no time

    def row(self, record: _Record) -> CsvRow:
        cells = [cell.strip() for cell in record.cells]
        if unusable := record.unreadable or self._why_unusable(cells):
            return CsvRow(record.line, {}, unusable=unusable)
        if len(cells) < self._width:
            self._short.add(record.line)
        values = {name: cells[at] for name, at in self._columns.items() if at < len(cells) and cells[at]}
        parts = [values.pop(part, "") for part in ("first_name", "last_name")]
        if whole := " ".join(filter(None, parts)):
            values.setdefault("name", whole)
        said = values.pop("registered_at", "")
        registered_at = _instant(said)
        if said and not registered_at:
            self._untimed.add(record.line)
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

    def _note(self, lines: Lines, found: str, allowed: str = "", hint: str = "") -> list[Problem]:
        return [Problem(f"{self._place}, {lines}", found, allowed, hint)] if lines.count else []


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


class Lines:
    """Numbers of lines, of which the first few are named: "line 3", "lines 3, 5 and 7", "lines 3, 4, 5, 6, 7 and 120
    more"."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[int] = []

    def add(self, line: int) -> None:
        self.count += 1
        if self.count <= LINES_NAMED:
            self._first.append(line)

    def __str__(self) -> str:
        if self.count == 1:
            return f"line {self._first[0]}"
        rest = self.count - len(self._first)
        named = [str(line) for line in self._first] + ([f"{rest} more"] if rest else [])
        return f"lines {', '.join(named[:-1])} and {named[-1]}"


def lines_named(lines: Iterable[int]) -> str:
    """As `Lines` names them."""
    named = Lines()
    for line in lines:
        named.add(line)
    return str(named)
