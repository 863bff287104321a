"""Moves a ledger from SQLite to PostgreSQL: every row of every table, and the numbers that the next rows get."""

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
"""Tables of which none has a row where nobody has used the database yet; migrations may fill others."""
TIMES = ("registered_at",)  # of registrants, that others write as they like


def move(source: Database, target: Database) -> dict[str, int]:
    """Copy all tables in one transaction, into a database that is empty or has none. Returns how many rows of each.

    Nobody else may write to either meanwhile. `source` is left as it is. Raises NewerSchema, DBAPIError, and Problems:
    `source` is of an earlier version, or has what PostgreSQL does not take; `target` is in use.
    """
    if source.schema() is not Schema.CURRENT:
        raise _refused(
            "the SQLite database", "is of an earlier version", "start this version on it once, first"
        )
    target.migrate()
    with source.reading() as old, target.transaction() as new:
        target.dialect.take_time(new)
        for name in IN_USE:
            if new.execute(text(f"SELECT 1 FROM {name} LIMIT 1")).first():
                raise _refused("the PostgreSQL database", f"is in use: {name} has rows", "an empty one")
        # What is written there now is known already: what triggers would note of it would be taken in again.
        new.exec_driver_sql("ALTER TABLE registrants DISABLE TRIGGER USER")
        counts = {table.name: _copy(old, new, table) for table in _tables(old, new)}
        new.exec_driver_sql("ALTER TABLE registrants ENABLE TRIGGER USER")
        target.dialect.many_rows_came(new, *counts)
    return counts


def _tables(old: Connection, new: Connection) -> Iterator[Table]:
    """Ours, and `registrants` with whatever columns it has. Raises Problems."""
    for table in SQLModel.metadata.sorted_tables:
        if table.name != models.Registrant.__tablename__:
            yield table
    there, known = (
        {column["name"] for column in inspect(conn).get_columns("registrants")} for conn in (old, new)
    )
    if unknown := sorted(there - known):
        hint = f"ALTER TABLE registrants ADD {unknown[0]} … there, and run this again"
        raise _refused(
            "registrants", f"has columns that PostgreSQL's has not: {', '.join(unknown)}", "", hint
        )
    # Without types: values go as they are, and PostgreSQL reads them by those of its own columns.
    yield Table("registrants", MetaData(), *(Column(name, NullType) for name in sorted(there)))


def _copy(old: Connection, new: Connection, table: Table) -> int:
    new.execute(table.delete())  # of what a migration wrote
    rows = old.execution_options(yield_per=BATCH).execute(select(table)).mappings()
    count = 0
    for batch in rows.partitions():
        values = [_as_postgresql_takes_it(table, row) for row in batch]
        _insert(new, table, values)
        count += len(values)
    _count_on(old, new, table)
    return count


def _as_postgresql_takes_it(table: Table, row: RowMapping) -> dict[str, Any]:
    """A row of `registrants` has its times as text, in whatever form. Raises Problems."""
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
    """Raises Problems, which name the first row that PostgreSQL does not take, without what it holds."""
    try:
        with new.begin_nested():
            new.execute(insert(table), rows)
    except DBAPIError as error:
        if not blames_values(error):
            raise
        row = next(row for row in rows if not _is_taken(new, table, row))
        number = f", row {row['id']}" if "id" in row else ""
        raise _refused(f"{table.name}{number}", f"PostgreSQL does not take it: {fault(error)}") from None


def _is_taken(new: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    try:
        with new.begin_nested():
            new.execute(insert(table), row)
    except DBAPIError:
        return False
    return True


def _count_on(old: Connection, new: Connection, table: Table) -> None:
    """Let PostgreSQL go on with the number after the highest that SQLite ever gave, for none is used twice."""
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
