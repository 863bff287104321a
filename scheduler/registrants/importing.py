"""Reads a CSV of registrants as spreadsheets save it, and writes it to `registrants`.

A row that can't be used is reported with its line and reason; the rest is imported. The same file twice
changes nothing. An empty cell leaves what is there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from scheduler.database.engine import one_planner
from scheduler.database.models import ConfirmedElsewhere, Registrant, Registration
from scheduler.problem import Problem, Problems, nearest
from scheduler.registrants.rows import COLUMNS, Row, fold, why_unusable

ALIASES = {
    "email": ("e-mail", "mail", "email address", "e-mail address", "address", "courriel"),
    "name": ("full name", "participant", "participant name", "nom"),
    "language": ("lang", "preferred language", "langue"),
    "timezone": ("time zone", "tz", "zone", "fuseau horaire"),
    "country": ("country code", "country/region", "country/region name", "pays"),
    "join_url": ("join link", "join url", "link", "personal link", "url"),
    "registered_at": ("registration time", "registered", "registered at", "registration date", "created at"),
    "webinar": ("webinar id", "event"),
}


@dataclass(frozen=True)
class CsvRow:
    """One row of the file: its line, its values by our column names, and when it says it registered (UTC)."""

    line: int
    values: dict[str, str]
    registered_at: datetime | None = None


@dataclass
class Report:
    """What an import did, by line."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


def read_csv(raw: bytes, place: str) -> tuple[list[CsvRow], list[Problem]]:
    """The rows of a CSV, and notes on values that are left out.

    Header names in any case and order; UTF-8 with or without BOM; comma, semicolon or tab. Raises Problems
    when the file as a whole can't be read.
    """
    text = _decoded(raw, place)
    lines = text.split("\n", 1)
    delimiter = max(",;\t", key=lines[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[CsvRow] = []
    notes: list[Problem] = []
    try:
        columns = _columns(next(reader, []), place, notes)
        for line, cells in _numbered(reader):
            if not any(cell.strip() for cell in cells):
                continue
            values = {
                column: cells[index].strip()
                for column, index in columns.items()
                if index < len(cells) and cells[index].strip()
            }
            registered_at = _instant(values.pop("registered_at", ""), f"{place}, line {line}", notes)
            rows.append(CsvRow(line, values, registered_at))
    except csv.Error as error:
        raise Problems([Problem(f"{place}, line {reader.line_num}", f"not CSV: {error}", "CSV")]) from None
    return rows, notes


def _decoded(raw: bytes, place: str) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Problems([Problem(place, "the file is UTF-16", "UTF-8", "save it as “CSV UTF-8”")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Problems(
            [Problem(f"{place}, line {line}", "the file is not UTF-8", "UTF-8", "save it as “CSV UTF-8”")]
        ) from None
    if "\0" in text:
        raise Problems([Problem(place, "the file has NUL characters", "a CSV")])
    return text


def _columns(header: list[str], place: str, notes: list[Problem]) -> dict[str, int]:
    known = {alias: column for column, aliases in ALIASES.items() for alias in (column, *aliases)}
    columns: dict[str, int] = {}
    for index, cell in enumerate(header):
        name = " ".join(cell.replace("_", " ").casefold().split())
        column = known.get(name) or known.get(name.replace(" ", "_"))
        if column is None:
            if name:
                notes.append(
                    Problem(f"{place}, column {index + 1}", "is not read", hint=nearest(name, known))
                )
        elif column in columns:
            raise Problems([Problem(f"{place}, line 1", f"two columns for {column}", "one")])
        else:
            columns[column] = index
    if "email" not in columns:
        raise Problems([Problem(f"{place}, line 1", "no column for the address", "a header with `email`")])
    return columns


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line at which each begins: a quoted cell may hold line ends."""
    begins = reader.line_num + 1
    for cells in reader:
        yield begins, cells
        begins = reader.line_num + 1


def _instant(value: str, place: str, notes: list[Problem]) -> datetime | None:
    if not value:
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        notes.append(Problem(place, "registered_at is not a time", "2025-06-12T09:30:00Z", "left out"))
        return None
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def import_rows(
    conn: Connection,
    rows: list[CsvRow],
    place: str,
    *,
    webinars: Collection[str],
    default_webinar: str,
    already_confirmed: bool = False,
) -> Report:
    """Write these rows to `registrants`, in this transaction; the service plans them when it sees them."""
    report = Report()
    first_lines: dict[tuple[str, str], int] = {}
    usable: dict[tuple[str, str], CsvRow] = {}
    for row in rows:
        webinar = row.values.get("webinar", default_webinar)
        email = row.values.get("email", "")
        candidate = Row(0, **{"webinar": webinar, "email": email} | _rest(row))
        if reason := why_unusable(candidate, webinars):
            report.rejected.append(Problem(f"{place}, line {row.line}", reason, hint="the row is left out"))
            continue
        key = (webinar, fold(email))
        if key in first_lines:
            report.notes.append(
                Problem(
                    f"{place}, line {row.line}",
                    f"has the address of line {first_lines[key]}",
                    "one registrant for each address",
                    "the last of them counts",
                )
            )
        first_lines.setdefault(key, row.line)
        usable[key] = CsvRow(row.line, row.values | {"webinar": webinar}, row.registered_at)
    _write(conn, usable, report)
    if already_confirmed:
        _confirm(conn, list(usable))
    return report


def _rest(row: CsvRow) -> dict[str, str]:
    return {
        key: value for key, value in row.values.items() if key in COLUMNS and key not in ("webinar", "email")
    }


def _write(conn: Connection, usable: dict[tuple[str, str], CsvRow], report: Report) -> None:
    table = Registrant.__table__  # type: ignore[attr-defined]
    there = _there(conn, {webinar for webinar, _ in usable})
    new = []
    for key, row in usable.items():
        values: dict[str, Any] = dict(row.values)
        if key not in there:
            blank = dict.fromkeys(column for column in COLUMNS if column not in values)
            new.append(values | blank | {"registered_at": row.registered_at})
            continue
        before = there[key]
        changes = {name: value for name, value in values.items() if value != (before[name] or "").strip()}
        if fold(changes.get("email", "")) == key[1]:
            del changes["email"]  # the same address in other letters
        if changes:
            conn.execute(update(table).where(table.c.id == before["id"]).values(changes))
            report.updated += 1
        else:
            report.unchanged += 1
    if new:
        conn.execute(insert(table), new)
    report.new = len(new)


def _there(conn: Connection, webinars: set[str]) -> dict[tuple[str, str], dict[str, Any]]:
    table = Registrant.__table__  # type: ignore[attr-defined]
    columns = [table.c.id, *(table.c[name] for name in COLUMNS)]
    rows = conn.execute(select(*columns).where(table.c.webinar.in_(webinars))).mappings()
    return {(row["webinar"], fold(row["email"])): dict(row) for row in rows}


def _confirm(conn: Connection, keys: list[tuple[str, str]]) -> None:
    table = ConfirmedElsewhere.__table__  # type: ignore[attr-defined]
    known = {(row.webinar, row.address_folded) for row in conn.execute(select(table))}
    rows = [
        {"webinar": webinar, "address_folded": folded}
        for webinar, folded in keys
        if (webinar, folded) not in known
    ]
    if not rows:
        return
    one_planner(conn)  # or planning that is under way would take our flags with its own
    conn.execute(insert(table), rows)
    planned = Registration.__table__  # type: ignore[attr-defined]
    for row in rows:
        here = (planned.c.webinar == row["webinar"]) & (planned.c.address_folded == row["address_folded"])
        conn.execute(update(planned).where(here).values(replan=True))
