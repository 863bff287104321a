"""The contents of a file before they are interpreted: sheets of records, which are rows of cells with their line.

A sheet can be read repeatedly, and takes the same memory at any length.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LINES_NAMED = 5


class Record(NamedTuple):
    """One row: the line at which it begins, its cells, and why it can't be read."""

    line: int
    cells: Sequence[str] = ()
    unreadable: str = ""


@dataclass(frozen=True)
class Sheet:
    """Rows that belong together: a whole CSV, or a sheet of a workbook. `delimiter` is "" in a workbook."""

    name: str
    records: Callable[[], Generator[Record]]
    delimiter: str = ""


class Lines:
    """Line numbers, shown as "line 3", "lines 3, 5 and 7", or "lines 3, 4, 5, 6, 7 and 120 more"."""

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
    """These lines as `Lines` shows them."""
    named = Lines()
    for line in lines:
        named.add(line)
    return str(named)
