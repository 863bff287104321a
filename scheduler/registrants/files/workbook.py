"""Reads XLSX and ODS into records, in a child process with limits on memory, processor time and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import weakref
import zipfile
from collections.abc import Generator
from typing import IO

from scheduler.problem import Problem, Problems
from scheduler.registrants.files.records import Record, Sheet
from scheduler.registrants.files.workbook_rows import ENCRYPTED

LARGEST = 100 * 2**20  # bytes of the file
UNPACKED = 500 * 2**20  # bytes of its unpacked parts
WIDEST = 1000  # columns
_CONTENTS = {"xl/workbook.xml", "xl/workbook.bin", "content.xml"}  # of XLSX, XLSB, ODS
_PACKED, _COMPOUND = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
ALLOWED = "a CSV, XLSX or ODS"
_SAVE = "save it as “Excel Workbook (.xlsx)” or “CSV UTF-8”"


def is_workbook(begin: bytes) -> bool:
    return begin.startswith((_PACKED, _COMPOUND))


class Workbook:
    """The sheets of a workbook. Their rows are in a temporary file, which is deleted with this object."""

    def __init__(self, file: IO[bytes], place: str) -> None:
        """Raises Problems if the file is not a readable workbook, or unpacks into too much."""
        _check(file, place)
        rows = tempfile.TemporaryFile()  # noqa: SIM115 - outlives this
        self._closed = weakref.finalize(self, rows.close)
        _unpack(file, rows, place)
        self.sheets = tuple(_sheets(rows))


def _check(file: IO[bytes], place: str) -> None:
    """Check the directory of the archive, before anything is unpacked. Raises Problems."""
    file.seek(0)
    if file.read(4).startswith(_COMPOUND):
        file.seek(0)
        head = file.read(2**20)
        if "EncryptedPackage".encode("utf-16-le") in head:
            raise Problems([_encrypted(place)])
        raise Problems(
            [Problem(place, "the file is a workbook in the old format of Excel (.xls)", ALLOWED, _SAVE)]
        )
    size = file.seek(0, 2)
    if size > LARGEST:
        raise Problems(
            [Problem(place, f"the workbook has {size // 2**20} MB", f"at most {LARGEST // 2**20} MB", _SAVE)]
        )
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as packed:
            parts = packed.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise Problems([_broken(place)]) from None
    if sum(part.file_size for part in parts) > UNPACKED or len(parts) > 10_000:
        raise Problems(
            [Problem(place, "the workbook is too large when unpacked", f"at most {UNPACKED // 2**20} MB")]
        )
    if any(part.flag_bits & 1 for part in parts):
        raise Problems([_encrypted(place)])
    names = {part.filename for part in parts}
    if not names & _CONTENTS:
        raise Problems(
            [Problem(place, "the file is an archive, not a workbook", ALLOWED, "extract the file from it")]
        )


def _unpack(file: IO[bytes], rows: IO[bytes], place: str) -> None:
    with tempfile.TemporaryFile() as copy:
        file.seek(0)
        while chunk := file.read(2**20):
            copy.write(chunk)
        copy.seek(0)
        environment = {
            name: value for name, value in os.environ.items() if name.startswith("PYTHON")
        }  # no secrets
        done = subprocess.run(
            [sys.executable, "-P", "-m", "scheduler.registrants.files.workbook_rows"],
            stdin=copy,
            stdout=rows,
            stderr=subprocess.DEVNULL,
            env=environment,
            check=False,
        )
    if done.returncode == ENCRYPTED:
        raise Problems([_encrypted(place)])
    if done.returncode:
        raise Problems([_broken(place)])


def _encrypted(place: str) -> Problem:
    return Problem(place, "the workbook is protected by a password", ALLOWED, "save it without one")


def _broken(place: str) -> Problem:
    return Problem(place, "the workbook can't be read", ALLOWED, _SAVE)


def _sheets(rows: IO[bytes]) -> Generator[Sheet]:
    rows.seek(0)
    while line := rows.readline():
        if line.startswith(b"{"):
            yield _sheet(rows, json.loads(line)["sheet"], rows.tell())


def _sheet(rows: IO[bytes], name: str, begin: int) -> Sheet:
    def records() -> Generator[Record]:
        at, number = begin, 0
        while True:
            rows.seek(at)
            line = rows.readline()
            at = rows.tell()
            if not line.startswith(b"["):
                return
            number += 1
            cells = json.loads(line)
            yield Record(number, cells[:WIDEST] if any(cell.strip() for cell in cells) else ())

    return Sheet(name, records)
