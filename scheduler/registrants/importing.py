"""Writes the rows of a CSV to `registrants`.

A row that can't be used is reported with its line and reason; the rest is imported. The same file twice
changes nothing. An empty cell leaves what is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, update

from scheduler.database.engine import one_planner
from scheduler.database.models import ConfirmedElsewhere, Registrant, Registration
from scheduler.input.addresses import fold
from scheduler.problem import Problem
from scheduler.registrants.languages import language_tag
from scheduler.registrants.reading import CsvRow, lines_named
from scheduler.registrants.rows import COLUMNS, Row, why_unusable
from scheduler.timezones import zone_of
from scheduler.webinar import Webinar

BATCH = 5000  # rows by their ids in one statement


@dataclass
class Report:
    """What an import did, by line."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


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
        candidate = Row(0, **{"webinar": default_webinar, "email": "", **row.values})
        if reason := row.unusable or _why_unusable(candidate, webinars):
            report.rejected.append(Problem(f"{place}, line {row.line}", reason, hint="the row is left out"))
            continue
        key = (candidate.webinar, fold(candidate.email))
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
        usable[key] = CsvRow(row.line, {**row.values, "webinar": candidate.webinar}, row.registered_at)
    _write(conn, usable, report)
    if already_confirmed:
        _confirm(conn, list(usable))
    return report


def zone_notes(
    rows: Iterable[CsvRow], place: str, webinars: Mapping[str, Webinar], default_webinar: str
) -> list[Problem]:
    """What can't be used of the time zones and countries, with the lines: the next best evidence counts there."""
    found: dict[tuple[str, str, str], str] = {}
    lines: dict[str, list[int]] = {}
    for row in rows:
        webinar = webinars.get(row.values.get("webinar", default_webinar))
        if webinar is None:
            continue
        key = (webinar.id, row.values.get("timezone", ""), row.values.get("country", ""))
        if key not in found:
            found[key] = zone_of(key[1], key[2], webinar.tz, webinar.start).problem
        if found[key]:
            lines.setdefault(found[key], []).append(row.line)
    told = "what else is known of the person counts"
    return [Problem(f"{place}, {lines_named(where)}", problem, hint=told) for problem, where in lines.items()]


def language_notes(rows: Iterable[CsvRow], place: str) -> list[Problem]:
    """What is no language, with the lines."""
    lines = [row.line for row in rows if (said := row.values.get("language")) and not language_tag(said)]
    if not lines:
        return []
    allowed, hint = "a name or a tag such as French or fr", "the webinar's first language counts"
    return [Problem(f"{place}, {lines_named(lines)}", "language is not known", allowed, hint)]


def _why_unusable(row: Row, webinars: Collection[str]) -> str:
    return why_unusable(row, webinars) if row.webinar else "no webinar is named, here or by --webinar"


def _write(conn: Connection, usable: dict[tuple[str, str], CsvRow], report: Report) -> None:
    table = Registrant.__table__  # type: ignore[attr-defined]
    there = _there(conn, usable.keys())
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


def _there(conn: Connection, keys: Set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows of these people. Addresses are compared here: SQLite folds ASCII letters only."""
    columns = Registrant.__table__.c  # type: ignore[attr-defined]
    webinars = {webinar for webinar, _ in keys}
    everybody = conn.execute(
        select(columns.id, columns.webinar, columns.email).where(columns.webinar.in_(webinars))
    )
    ids = [row.id for row in everybody if (row.webinar, fold(row.email)) in keys]
    there: dict[tuple[str, str], dict[str, Any]] = {}
    for first in range(0, len(ids), BATCH):
        chosen = columns.id.in_(ids[first : first + BATCH])
        rows = conn.execute(select(columns.id, *(columns[name] for name in COLUMNS)).where(chosen)).mappings()
        there |= {(row["webinar"], fold(row["email"])): dict(row) for row in rows}
    return there


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
        conn.execute(update(planned).where(here).values(plan=0))
