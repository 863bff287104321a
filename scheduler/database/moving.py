"""Moves a ledger from SQLite to PostgreSQL: every row of every table, and the sequences of ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, MetaData, RowMapping, Table, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import NullType
from sqlmodel import SQLModel

from scheduler.database import models
from scheduler.database.engine import Database, Schema
from scheduler.faults import blames_values, fault
from scheduler.problem import Problem, Problems

BATCH = 1000  # rows
IN_USE = ("registrants", "registration", "webinar", "account", "service")
"""Tables that are empty in a database that nobody has used yet; migrations may fill others."""
TIMES = ("registered_at", "withdrawn_at")  # columns of registrants in which others write times in any form


def move(source: Database, target: Database) -> dict[str, int]:
    """Copy all tables in one transaction into a database that is empty or has no tables. Returns the number of rows by
    table.

    Nobody else may write to either database meanwhile. `source` is not changed. Raises NewerSchema, DBAPIError, and
    Problems if `source` is of an earlier version or has values that PostgreSQL rejects, or `target` is in use.
    """
    if source.schema() is not Schema.CURRENT:
        raise _refused(
            "the SQLite database", "is of an earlier version", "start this version on it once, first"
        )
    target.migrate()
    with source.reading() as old, target.transaction() as new:
        target.dialect.lift_limits(new)
        for name in IN_USE:
            if new.execute(text(f"SELECT 1 FROM {name} LIMIT 1")).first():
                raise _refused("the PostgreSQL database", f"is in use: {name} has rows", "an empty one")
        # Without triggers: they would mark rows as changed that are absorbed already.
        new.exec_driver_sql("ALTER TABLE registrants DISABLE TRIGGER USER")
        counts = {table.name: _copy(old, new, table) for table in _tables(old, new)}
        new.exec_driver_sql("ALTER TABLE registrants ENABLE TRIGGER USER")
        target.dialect.analyze_grown(new, *counts)
    return counts


def _tables(old: Connection, new: Connection) -> Iterator[Table]:
    """All tables to copy; `registrants` with the columns that it has. Raises Problems."""
    for table in SQLModel.metadata.sorted_tables:
        if table.name != models.Registrant.__tablename__:
            yield table
    columns, known = (
        {column["name"] for column in inspect(conn).get_columns("registrants")} for conn in (old, new)
    )
    if unknown := sorted(columns - known):
        hint = f"ALTER TABLE registrants ADD {unknown[0]} … there, and run this again"
        raise _refused(
            "registrants", f"has columns that the one on PostgreSQL lacks: {', '.join(unknown)}", "", hint
        )
    # Without types: values are passed on as they are, and PostgreSQL converts them to the types of its columns.
    yield Table("registrants", MetaData(), *(Column(name, NullType) for name in sorted(columns)))


def _copy(old: Connection, new: Connection, table: Table) -> int:
    new.execute(table.delete())  # rows that a migration wrote
    rows = old.execution_options(yield_per=BATCH).execute(select(table)).mappings()
    count = 0
    for batch in rows.partitions():
        values = [_converted(table, row) for row in batch]
        _insert(new, table, values)
        count += len(values)
    _continue_ids(old, new, table)
    return count


def _converted(table: Table, row: RowMapping) -> dict[str, Any]:
    """A row for PostgreSQL: times in `registrants`, which are text in any form, are parsed. Raises Problems."""
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    for name in TIMES if table.name == "registrants" else ():
        if values.get(name) is not None:
            try:
                at = datetime.fromisoformat(str(values[name]))
            except ValueError:
                place = f"registrants, row {values['id']}"
                raise _refused(place, f"{name} is no time", "2025-06-12 08:00:00 in UTC, or NULL") from None
            values[name] = at.replace(tzinfo=at.tzinfo or UTC)
    return values


def _insert(new: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows. Raises Problems that name the first row that PostgreSQL rejects, without its values."""
    try:
        with new.begin_nested():
            new.execute(insert(table), rows)
    except DBAPIError as error:
        if not blames_values(error):
            raise
        row = next(row for row in rows if not _is_taken(new, table, row))
        number = f", row {row['id']}" if "id" in row else ""
        raise _refused(f"{table.name}{number}", f"PostgreSQL rejects it: {fault(error)}") from None


def _is_taken(new: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    try:
        with new.begin_nested():
            new.execute(insert(table), row)
    except DBAPIError:
        return False
    return True


def _continue_ids(old: Connection, new: Connection, table: Table) -> None:
    """Set PostgreSQL's sequence after the highest id that SQLite ever assigned, since no id is used twice."""
    if "id" not in table.c:
        return
    last = "SELECT max(seq) FROM sqlite_sequence WHERE name = :name"
    given = old.execute(text(last), {"name": table.name}).scalar() or 0
    highest = max(given, old.execute(text(f"SELECT coalesce(max(id), 0) FROM {table.name}")).scalar_one())
    if highest:
        setval = "SELECT setval(pg_get_serial_sequence(:name, 'id'), :highest)"
        new.execute(text(setval), {"name": table.name, "highest": highest})


def _refused(place: str, found: str, allowed: str = "", hint: str = "") -> Problems:
    return Problems([Problem(place, found, allowed, hint)])
