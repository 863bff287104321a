"""Writes the visible sheets of a workbook (standard input) as lines of JSON (standard output). `workbook.py` runs it as
a separate process with limits. Each sheet is a line with its name, then a line for each row.

A hostile workbook harms only this process: a single cell in the last row of the last column, say, makes the reader
allocate terabytes.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetVisibleEnum, load_workbook

ENCRYPTED, BROKEN = 3, 4
MEMORY = 3 * 2**30  # bytes: 200,000 rows of 20 cells take a tenth of that
SECONDS = 60  # of processor time
WRITTEN = 2 * 2**30  # bytes


def rows(workbook: CalamineWorkbook) -> Iterator[object]:
    for sheet in workbook.sheets_metadata:
        if sheet.visible is SheetVisibleEnum.Visible:
            yield {"sheet": sheet.name}
            for row in workbook.get_sheet_by_name(sheet.name).iter_rows():
                cells = [cell if isinstance(cell, str) else _text(cell) for cell in row]
                while cells and not cells[-1]:
                    cells.pop()
                yield cells


def _text(cell: Any) -> str:
    match cell:
        case bool():
            return "yes" if cell else "no"
        case float() if cell.is_integer() and abs(cell) < 1e15:
            return str(int(cell))
        case datetime():
            return cell.isoformat(" ")
        case date():
            return cell.isoformat()
        case timedelta():
            return str(cell)
    return str(cell)


def _limit() -> None:
    """Limit this process's memory, processor time and output; leave no core dump."""
    limits = {
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_CPU: SECONDS,
        resource.RLIMIT_FSIZE: WRITTEN,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        _, hard = resource.getrlimit(which)  # can't be raised without privileges
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (soft, hard))


def main() -> int:
    _limit()
    try:
        workbook = load_workbook(io.BytesIO(sys.stdin.buffer.read()))
        for row in rows(workbook):
            sys.stdout.write(json.dumps(row) + "\n")
    except PasswordError:
        return ENCRYPTED
    except CalamineError:
        return BROKEN
    return 0


if __name__ == "__main__":
    sys.exit(main())
