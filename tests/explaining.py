"""How the engines execute our statements: which they get, and whether they go through whole tables for one."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from scheduler.database.engine import Database, dialect


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """What is executed, with its parameters, as the engine gets it."""
    found: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, sql: str, values: Any, _context: Any, _many: bool) -> None:
        found.append((sql, values))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def full_scans(
    conn: Connection, sql: str, values: Any, tables: Collection[str], aliases: str = ""
) -> list[str]:
    """Where the engine would go through all of one of these tables. SQLite names them by their aliases."""
    values = values[0] if isinstance(values, list) else values  # of many rows, one
    if dialect(conn).takes_replicas:
        plan = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values).scalar_one()
        plans = json.loads(plan) if isinstance(plan, str) else plan
        return list(_in_plan(plans[0]["Plan"], tables))
    rows = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
    return [row[3] for row in rows if re.match(rf"SCAN ({'|'.join([*tables, *aliases])})\b", row[3])]


def _in_plan(node: dict[str, Any], tables: Collection[str], *, limited: bool = False) -> Iterator[str]:
    by_index = "Index Cond" in node or node["Node Type"] == "Bitmap Heap Scan"
    if node.get("Relation Name") in tables and "Scan" in node["Node Type"] and not limited and not by_index:
        yield f"{node['Node Type']} on {node['Relation Name']} by INDEX {node.get('Index Name', 'none')}"
    for inner in node.get("Plans", ()):
        yield from _in_plan(inner, tables, limited=limited or node["Node Type"] == "Limit")
