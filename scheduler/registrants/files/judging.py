"""Decides which rows of a file count, and why others do not. Nothing is written.

If a person has several rows, the last one with a name counts. So all rows are read before the first is judged.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from tempfile import TemporaryFile
from typing import IO, Literal, NamedTuple

from scheduler.input.addresses import fold
from scheduler.input.validation import shown
from scheduler.problem import Problem
from scheduler.registrants.files.reading import FileRow
from scheduler.registrants.files.records import Lines
from scheduler.registrants.files.words import folded
from scheduler.registrants.rows import Person, Row, why_unusable

Kind = Literal["counts", "status", "unknown status", "error", "repeated", "another name"]
LOST: frozenset[Kind] = frozenset(("unknown status", "error", "another name"))
"""Kinds of rows whose people may be missing by mistake."""
LEFT_OUT = "the row is left out"
_TOGETHER = 500  # rows pickled at once
ONE_EACH = "one registrant for each address"


@dataclass(frozen=True)
class Import:
    """Options for reading the rows of one file."""

    place: str
    webinars: Collection[str]
    default_webinar: str
    already_confirmed: bool = False
    registered_again: datetime | None = None
    """When the user stated that these people registered again, including forgotten ones (UTC)."""

    def person(self, row: FileRow) -> Person:
        return row.values.get("webinar", self.default_webinar), fold(row.values.get("email", ""))

    def why_not(self, row: FileRow) -> Judgement | None:
        """Why a row does not count, apart from other rows; None if it does."""
        if row.left_out:
            return Judgement(row, "status", row.left_out)
        said = row.values.get
        whole = Row(
            0,
            said("webinar", self.default_webinar),
            said("email", ""),
            said("name", ""),
            said("language", ""),
            said("timezone", ""),
            said("country", ""),
            said("join_url", ""),
        )
        nowhere = "" if whole.webinar else "no webinar is named, here or by --webinar"
        if reason := row.unusable or nowhere or why_unusable(whole, self.webinars):
            about = reason.partition(" ")[0]
            value = row.values.get(about, "") if about in ("email", "join_url") else ""
            return Judgement(row, "error", reason, value)
        if row.unknown_status:
            return Judgement(row, "unknown status", "the status is not known", row.unknown_status)
        return None


class Judgement(NamedTuple):
    """Whether a row counts, and why not. Only `value` quotes the file."""

    row: FileRow
    kind: Kind
    reason: str = ""
    value: str = ""

    @property
    def told(self) -> str:
        """The reason with the value, for the user who has the file."""
        return f"{self.reason}: {quoted(self.value)}" if self.value else self.reason

    def problem(self, place: str) -> Problem:
        allowed = ONE_EACH if self.kind in ("repeated", "another name") else ""
        return Problem(f"{place}, line {self.row.line}", self.told, allowed, LEFT_OUT)


def judged(rows: Callable[[], Iterable[FileRow]], asked: Import) -> Generator[Judgement]:
    """Judge every row, in order of lines. Rows are read once and kept in a temporary file until all are read."""
    with TemporaryFile() as file, closing(_People()) as people:
        people.note(_kept(rows(), asked, file))
        file.seek(0)
        counting = people.counting()
        following = next(counting, 0)
        for number, (row, reason) in enumerate(_read_again(file), start=1):
            if number == following:
                following = next(counting, 0)
                yield Judgement(row, "counts")
            else:
                yield reason or _of_several(row, *people.last(asked.person(row)))


def _kept(rows: Iterable[FileRow], asked: Import, file: IO[bytes]) -> Generator[tuple[int, Person, FileRow]]:
    """Write all rows to the file; yield the rows that count apart from others, with their numbers."""
    together: list[tuple[tuple[object, ...], tuple[Kind, str, str] | None]] = []
    for number, row in enumerate(rows, start=1):
        reason = asked.why_not(row)
        together.append((tuple(row), reason and reason[1:]))  # plain tuples are quicker to pickle
        if len(together) == _TOGETHER:
            pickle.dump(together, file)
            together.clear()
        if not reason:
            yield number, asked.person(row), row
    pickle.dump(together, file)


def _read_again(file: IO[bytes]) -> Generator[tuple[FileRow, Judgement | None]]:
    with suppress(EOFError):
        while True:
            for values, reason in pickle.load(file):  # noqa: S301 - written by this process
                row = FileRow._make(values)
                yield row, reason and Judgement(row, *reason)


def _of_several(row: FileRow, last: int, name: bytes) -> Judgement:
    """Judge a row that another one, at line `last`, replaces. `name`: the digest of the name there."""
    if name and (own := _name(row)) and own != name:
        reason = f"line {last} has the same address under another name"
        return Judgement(row, "another name", reason, row.values["name"])
    return Judgement(row, "repeated", f"line {last} has the same address, and counts")


class Grouped:
    """Rows that are left out by their status, one message for each status, with their number and lines."""

    def __init__(self, place: str, *, counting: str = "--counting lets them count") -> None:
        self._place, self._counting = place, counting
        self._lines: dict[tuple[Kind, str], Lines] = {}

    def add(self, judgement: Judgement) -> None:
        self._lines.setdefault((judgement.kind, judgement.told), Lines()).add(judgement.row.line)

    def problems(self) -> list[Problem]:
        hints = {
            "status": "left out, as they do not attend",
            "unknown status": f"left out; {self._counting}",
        }
        return [
            Problem(f"{self._place}, {lines}", f"{told} ({lines.count})", hint=hints.get(kind, LEFT_OUT))
            for (kind, told), lines in self._lines.items()
        ]


class _People:
    """The row that counts for each person, with its line and name, in a temporary database on disk."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # a temporary file
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(
            "PRAGMA cache_size = -8000"
        )  # kB: digests come in random order, and pages are read again
        self._db.execute(
            "CREATE TABLE people (person BLOB PRIMARY KEY, number INTEGER, line INTEGER, name BLOB) WITHOUT ROWID"
        )

    def note(self, rows: Iterable[tuple[int, Person, FileRow]]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT INTO people VALUES (?, ?, ?, ?) ON CONFLICT (person)"
            " DO UPDATE SET number = excluded.number, line = excluded.line, name = excluded.name"
            " WHERE excluded.name <> x'' OR people.name = x''",
            ((_digest(person), number, row.line, _name(row)) for number, person, row in rows),
        )
        self._db.execute("COMMIT")

    def counting(self) -> Iterator[int]:
        """The numbers of the rows that count, in order."""
        return (number for (number,) in self._db.execute("SELECT number FROM people ORDER BY number"))

    def last(self, person: Person) -> tuple[int, bytes]:
        """The line of this person's row that counts, and a digest of its name."""
        line, name = self._db.execute(
            "SELECT line, name FROM people WHERE person = ?", (_digest(person),)
        ).fetchone()
        return line, name

    def close(self) -> None:
        self._db.close()


def _name(row: FileRow) -> bytes:
    """A digest that is the same for "Ana Ruiz", "RUIZ, Ana" and "ana ruiz"."""
    words = [] if row.displayed else sorted(folded(row.values.get("name", "")).split())
    return _digest(words) if words else b""


def _digest(parts: Iterable[str]) -> bytes:
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).digest()


def quoted(value: str) -> str:
    """A value of the file, for the user who has it: on one line, invisible characters escaped."""
    return shown("".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in value))
