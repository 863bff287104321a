"""The content read from a source: a temporary file with limits, and checks whether it may be incomplete."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import IO, Protocol

from scheduler.problem import Problems
from scheduler.registrants.files.csv import CsvFile
from scheduler.registrants.files.workbook import is_workbook
from scheduler.troubles import Trouble

MOST_ROWS = 500_000
MOST_OCTETS = 200 * 2**20
A_PAGE = "a web page, not a file: does it ask for a sign-in?"
_LINE_ENDS = b"\r\n"
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,1000}<(?:!doctype|html|head|body|\?xml)\b", re.IGNORECASE)


class SourceFails(Trouble):
    """A source can't be read, or only in part. The message holds neither secrets nor personal data."""


def no_room(error: Exception) -> str:
    """The message that a pull could not write its temporary copy."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"the temporary copy cannot be written (to TMPDIR, if set): {why.lower()}"


class Octets(Protocol):
    """A binary stream that is read in pieces."""

    def read(self, length: int, /) -> bytes: ...


@dataclass
class Content:
    """A copy of a source's content. `read_as`: the [source] settings, which are part of the digest. `fresh`: it was
    changed a moment ago, and may still be being written. `is_result`: it is a database's result."""

    file: IO[bytes]
    read_as: str = ""
    fresh: bool = False
    is_result: bool = False
    octets: int = 0
    _digest: blake2b = field(default_factory=lambda: blake2b(digest_size=16))

    def __post_init__(self) -> None:
        self._digest.update(self.read_as.encode())

    def add(self, octets: bytes) -> None:
        """Append bytes. Raises SourceFails above MOST_OCTETS."""
        self.octets += len(octets)
        if self.octets > MOST_OCTETS:
            raise SourceFails(f"it holds more than {MOST_OCTETS // 2**20} MB")
        self._digest.update(octets)
        try:
            self.file.write(octets)
        except OSError as error:
            raise SourceFails(no_room(error)) from None

    def add_all(self, octets: Octets) -> None:
        while piece := octets.read(2**16):
            self.add(piece)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    @property
    def has_end(self) -> bool:
        """Whether it is text whose last line is terminated. (A workbook that is cut can't be unpacked.)"""
        return bool(self.octets) and not self._is_workbook and not self.has_no_end

    @property
    def is_cut(self) -> str:
        """Why it is empty, incomplete or a web page; or ""."""
        if not self.octets:
            return "it is empty"
        self.file.seek(0)
        if _MARKUP.match(self.file.read(2**12)):
            return f"it is {A_PAGE}"
        return "it ends in the middle of a row" if self.has_no_end and self._last_row_is_short() else ""

    def has_lost_its_end(self, had_end: bool) -> str:
        """Why it is cut, if the last line was terminated before (`had_end`); or ""."""
        return "its last line has no newline, though it had one before" if had_end and self.has_no_end else ""

    @property
    def may_be_cut(self) -> str:
        """Why it may be cut, unless the next read is equal; or ""."""
        written = "it was changed a moment ago, and its last line has no newline"
        return written if self.fresh and self.has_no_end else ""

    @property
    def _is_workbook(self) -> bool:
        self.file.seek(0)
        return is_workbook(self.file.read(4))

    @property
    def has_no_end(self) -> bool:
        if self._is_workbook:
            return False  # it could not be unpacked
        self.file.seek(-min(self.octets, 4), 2)
        return not any(octet in _LINE_ENDS for octet in self.file.read())

    def _last_row_is_short(self) -> bool:
        before = last = None
        try:
            records = CsvFile(self.file, "").sheet().records()
        except Problems:  # reported when the file is read
            return False
        with closing(records):
            for record in records:
                if record.cells or record.unreadable:
                    before, last = last, record
        return last is not None and (
            bool(last.unreadable) or (before is not None and len(last.cells) < len(before.cells))
        )
