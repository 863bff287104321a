"""Reads a CSV from a spreadsheet or a registration system into records.

Comma, semicolon, tab or bar; any line ends; a row that can't be read does not affect other rows.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import chain, islice
from typing import IO

from scheduler.registrants.files.encoding import Encoding, encoding_of
from scheduler.registrants.files.headers import meaning_of
from scheduler.registrants.files.records import Record, Sheet

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
HEADER_WITHIN = 60  # rows: reports have fewer above their header
UNREADABLE = "a quotation mark is not closed or stands inside a value, or a value is too long"
LONGEST = 2**20  # characters of a line, and of a row
WIDEST = 2**14  # cells of a row, as in Excel
TOO_WIDE = "more columns than a spreadsheet has (16,384)"
Counting = Callable[[str], int]
_SEPARATOR = re.compile(r"\s*\"?sep=([,;\t|])\"?[,;\t]*\r?\n?", re.IGNORECASE)  # Excel's own first line


class CsvFile:
    """A text file with its encoding and delimiter. `file` is binary and seekable."""

    def __init__(self, file: IO[bytes], place: str) -> None:
        """Raises Problems if the encoding can't be determined."""
        self._file = file
        self.encoding: Encoding = encoding_of(file, place, lambda text: max(map(_known(text), DELIMITERS)))
        self.delimiter = self._said_delimiter() or self._likely_delimiter()

    def sheet(self) -> Sheet:
        return Sheet("", lambda: self._records(self.delimiter), self.delimiter)

    def _said_delimiter(self) -> str:
        with closing(self._lines()) as lines:
            said = _SEPARATOR.fullmatch(next(lines, ""))
        return said[1] if said else ""

    def _likely_delimiter(self) -> str:
        """The delimiter that gives the header the most known columns."""

        def known(delimiter: str) -> int:
            with closing(self._records(delimiter)) as records:
                return max(map(_known_cells, islice(records, HEADER_WITHIN)), default=0)

        return max(DELIMITERS, key=known)

    def _records(self, delimiter: str) -> Generator[Record]:
        with closing(self._lines()) as lines:
            yield from records_of(_without_separator(lines), delimiter)

    def _lines(self) -> Generator[str]:
        """The lines of the file from its beginning, with their ends. A line that is too long is truncated."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding=self.encoding.codec, newline="", errors="replace")
        first = True
        try:
            while line := text.readline(LONGEST):
                whole = len(line) < LONGEST or line.endswith(("\n", "\r"))
                while not whole and (rest := text.readline(LONGEST)) and not rest.endswith(("\n", "\r")):
                    pass
                shown = line.replace("\0", "").removeprefix("\ufeff") if first or "\0" in line else line
                first = False
                yield shown if whole else _TooLong(shown)
        finally:
            text.detach()


def _known_cells(record: Record) -> int:
    return sum(meaning_of(cell) is not None for cell in record.cells)


def _known(text: str) -> Counting:
    def known(delimiter: str) -> int:
        lines = io.StringIO(text, newline="")
        return max(map(_known_cells, islice(records_of(lines, delimiter), HEADER_WITHIN)), default=0)

    return known


class _TooLong(str):
    """The beginning of a line that is too long."""

    __slots__ = ()


def _without_separator(lines: Iterator[str]) -> Iterator[str]:
    first = next(lines, "")
    return chain(["\n" if _SEPARATOR.fullmatch(first) else first] if first else [], lines)


def records_of(lines: Iterator[str], delimiter: str) -> Generator[Record]:
    """The rows; blank rows have no cells. After a row that can't be read, reading resumes at its second line, so that
    a quotation mark that is never closed costs one row only."""
    source, at_end = _Source(lines), False
    while not at_end:
        reader = csv.reader(iter(source), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if len(cells) > WIDEST:
                    yield Record(source.line, unreadable=TOO_WIDE)
                else:
                    yield Record(source.line, cells if "".join(cells).strip(" \t,;") else ())
                source.forget()
            at_end = True
        except csv.Error:
            yield Record(source.line, unreadable=UNREADABLE)
            source.back_to_second()


class _Source:
    """Lines for csv.reader. The lines of the current row can be read again."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.line = 1  # the first one of the current row
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
        self.line += len(self._row)
        self._row.clear()
        self._length = 0

    def back_to_second(self) -> None:
        self._again.extendleft(reversed(self._row[1:]))
        del self._row[1:]
        self.forget()
