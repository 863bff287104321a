"""Finds the tables of a file that hold registrants. Pure.

A report has several tables, each with a title and a header of its own.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property

from scheduler.registrants.files.cells import is_address
from scheduler.registrants.files.headers import is_known, meaning_of
from scheduler.registrants.files.records import Record, Sheet
from scheduler.registrants.files.statuses import why_not
from scheduler.registrants.files.words import folded, words_of

_FOREVER = 2**62
_NUMBERED = re.compile(r"\d{1,2}\. ?\S")
_NO_PEOPLE = tuple(words_of("title", "no_people"))
_PEOPLE_ROLES = ("host", "panelist")
_ROLE_WORDS = {folded(word): role for role in _PEOPLE_ROLES for word in words_of("title", role)}
_ROLE_PARTS = {word: role for role in _PEOPLE_ROLES for word in words_of("title", f"{role}_part")}


@dataclass(frozen=True)
class Table:
    """The rows below one header, up to line `end` (exclusive). `role`: of all its people, by its title. `left_out`: why
    none of them attends, by its title."""

    sheet: Sheet
    header: Record
    title: str = ""
    end: int = _FOREVER
    above: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.title or self.sheet.name

    @property
    def role(self) -> str:
        words = folded(self.title).split()
        by_word = next((_ROLE_WORDS[word] for word in words if word in _ROLE_WORDS), "")
        return by_word or next((role for part, role in _ROLE_PARTS.items() if part in self.title), "")

    @cached_property
    def left_out(self) -> str:
        return why_not(self.name) or "" if self.name else ""

    @property
    def has_addresses(self) -> bool:
        return _names_addresses(self.header.cells)

    @property
    def is_of_people(self) -> bool:
        return not _is_of_no_people(self.title)

    def records(self) -> Generator[Record]:
        """Its rows: neither blank nor its header once more, as where several exports stand in one file."""
        head, first = _cells(self.header), self.header.cells[0]
        with closing(self.sheet.records()) as records:
            for record in records:
                if record.line >= self.end:
                    return
                if record.line <= self.header.line or not (record.cells or record.unreadable):
                    continue
                if not (record.cells and record.cells[0] == first and _cells(record) == head):
                    yield record


@dataclass
class _Search:
    """The state of one pass through a sheet."""

    sheet: Sheet
    found: list[Table] = field(default_factory=list)
    above: list[int] = field(default_factory=list)
    title: Record | None = None
    since_title: int = 0
    open: bool = False

    def see(self, record: Record) -> None:
        cells = [cell for cell in record.cells if cell.strip()]
        if record.unreadable:
            return
        if _is_header(cells) and (not self.open or self._titled or self._begins_another(cells)):
            if self.open and not self._titled and _cells(self.found[-1].header) == _cells(record):
                return
            self._close(self.title.line if self._titled and self.title else record.line)
            title = self.title.cells[0].strip() if self._titled and self.title else ""
            self.found.append(Table(self.sheet, record, title, above=tuple(self.above)))
            self.open, self.title, self.above = True, None, []
        elif len(cells) == 1 and "@" not in cells[0]:
            self.title, self.since_title = record, 0
            if self.open and self._ends(cells[0].strip()):
                self._close(record.line)
            if not self.open:
                self.above.append(record.line)
        else:
            self.since_title += 1
            if not self.open:
                self.above.append(record.line)

    @property
    def _titled(self) -> bool:
        return self.title is not None and not self.since_title

    def _begins_another(self, cells: Sequence[str]) -> bool:
        """Whether this is a header, though it has no title: a person's row may look like one."""
        return len(cells) > 1 and _names_addresses(cells)

    def _ends(self, title: str) -> bool:
        """Whether this title begins the next section of a report. In a plain list it is an ordinary row."""
        own = self.found[-1].title
        return bool(own) and bool(
            _is_of_no_people(title) or (_NUMBERED.match(own) and _NUMBERED.match(title))
        )

    def _close(self, line: int) -> None:
        if self.open:
            self.found[-1] = replace(self.found[-1], end=line)
            self.open = False


def tables_of(sheet: Sheet) -> list[Table]:
    """All tables of a sheet, in order, with or without people."""
    search = _Search(sheet)
    with closing(sheet.records()) as records:
        for record in records:
            if record.cells or record.unreadable:
                search.see(record)
    if not any(table.has_addresses for table in search.found):
        search.found += _without_known_header(sheet, search.found)
    return search.found


def of_people(tables: Iterable[Table]) -> list[Table]:
    """The tables that hold people with addresses; of numbered sections (Teams) only the first one."""
    people = [table for table in tables if table.has_addresses and table.is_of_people]
    numbered = [table for table in people if _NUMBERED.match(table.title)]
    return [table for table in people if table not in numbered[1:]]


def first_records(sheet: Sheet, count: int) -> Iterator[Record]:
    with closing(sheet.records()) as records:
        for number, record in enumerate(records):
            if number == count:
                return
            yield record


def _names_addresses(cells: Sequence[str]) -> bool:
    return any(one.meaning == "email" for cell in cells if (one := meaning_of(cell)))


def _is_header(cells: Sequence[str]) -> bool:
    if any(len(cell) > 400 or ("@" in cell and is_address(cell.strip())) for cell in cells):
        return False
    meant = {one.meaning for cell in cells if (one := meaning_of(cell))}
    if "email" in meant:
        return len(cells) == 1 or sum(map(is_known, cells)) > 1 or len(meant) > 1 or len(cells) <= 3
    return len(cells) >= 3 and len(meant) >= 1 and sum(map(is_known, cells)) * 2 > len(cells)


def _without_known_header(sheet: Sheet, found: Sequence[Table]) -> list[Table]:
    """The table below the row before the first one with an address: its columns are recognized by their values."""
    before: Record | None = None
    for record in first_records(sheet, 60):
        cells = [cell for cell in record.cells if cell.strip()]
        if not cells:
            continue
        if any("@" in cell and is_address(cell.strip()) for cell in cells):
            fits = before is not None and len([cell for cell in before.cells if cell.strip()]) * 2 > len(
                cells
            )
            known = any(before is not None and table.header.line == before.line for table in found)
            return [Table(sheet, before)] if before is not None and fits and not known else []
        before = record
    return []


def _is_of_no_people(title: str) -> bool:
    low = title.casefold()
    return any(word in low for word in _NO_PEOPLE)


def _cells(record: Record) -> tuple[str, ...]:
    cells = [cell.strip() for cell in record.cells]
    while cells and not cells[-1]:
        cells.pop()
    return tuple(cells)
