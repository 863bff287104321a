"""What planning costs, from a thousand deliveries to a million, on both engines: beside the bare SQL that writes the
same rows; a tick with nothing new; an edit of one person and of one rule; the memory of a service on such a ledger.

    python -m benchmarks.planning [--quick] [--svg growth.svg]

Five messages each, registrants over 400 zones. "Bare": the planned rows copied by INSERT … SELECT into empty tables
with the same columns and indexes, in the same database; no planner could write them for less.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytz
from sqlalchemy import Connection, text

from benchmarks import receivers
from benchmarks.service import Ledger as Rows
from benchmarks.service import databases, running, seconds_until_sent, write_webinar
from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.governing.revisions import Revisions, bring_up_to_date
from scheduler.governing.webinars import propose_webinars
from scheduler.ledger import claims, settling
from scheduler.service.planner import Planner
from tests.support import SEQUENCE

ZONES = pytz.common_timezones[:400]
FIVE = f"""{SEQUENCE}
[[messages]]
id = "reminder-week"
days_before = 7
at = "09:00"
"""
TABLES = ("registration", "delivery")


@dataclass
class Figures:
    """Seconds, of one engine with so many deliveries; `memory` in MB."""

    engine: str
    deliveries: int
    planned: float
    bare: float
    idle_tick: float
    one_person: float
    one_rule: float
    memory: float


def measure(engine: str, new: Callable[[], Rows], people: int) -> Figures:
    """Everything, on empty databases."""
    rows = new()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        folder = Path(temporary)
        start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=20)
        write_webinar(folder, FIVE, start=start, end=start + timedelta(hours=1))
        shutil.copytree(folder / "templates/reminder-day", folder / "templates/reminder-week")
        revisions = Revisions()
        source = (folder / "config/webinars/w.toml").read_text()
        url = rows.url.replace("postgresql://", "postgresql+psycopg://")
        database = Database(url)
        database.migrate()
        try:
            _register(rows, people)
            planned = _ticks(database, revisions, source)
            bare = _bare(database)
            idle = statistics.median(_ticks(database, revisions, source) for _ in range(20))
            with rows.connection() as conn:
                conn.execute(
                    "UPDATE registrants SET timezone = 'Asia/Tokyo' WHERE email = 'person-7@example.com'"
                )
            one_person = _ticks(database, revisions, source)
            one_rule = _ticks(database, revisions, source.replace('at = "10:00"', 'at = "11:00"'))
            _ticks(database, revisions, source)
        finally:
            database.close()
        memory = _memory(folder, new(), people)
    return Figures(engine, people * 5, planned, bare, idle, one_person, one_rule, memory)


def _register(rows: Rows, people: int) -> None:
    mark = "%s" if rows.is_postgresql else "?"
    statement = f"INSERT INTO registrants (webinar, email, name, timezone) VALUES ({', '.join([mark] * 4)})"
    values = (("w", f"person-{n}@example.com", f"Person {n}", ZONES[n % len(ZONES)]) for n in range(people))
    with rows.connection() as conn:
        conn.cursor().executemany(statement, values)


def _ticks(database: Database, revisions: Revisions, source: str) -> float:
    """Seconds until there is nothing more to plan by this file: what a tick does in the ledger."""
    now, day = datetime.now(UTC), timedelta(hours=24)
    with database.transaction() as conn:
        propose_webinars(conn, now, Path("config"), {"webinars/w.toml": source.encode()}, revisions, 1, day)
        revisions.governing(conn)
    begin = time.perf_counter()
    with database.transaction() as conn:
        bring_up_to_date(conn, now, revisions)
        governing = revisions.governing(conn)
        settling.resolve_doubts(conn, now, {name: one.webinar for name, one in governing.items()})
        settling.expire(conn, now)
    planner = Planner(database, VirtualClock(now), day, lambda: None)
    while asyncio.run(planner.plan(governing, 60)):
        pass
    with database.transaction() as conn:
        claims.next_wake(conn, now)
    return time.perf_counter() - begin


def _bare(database: Database) -> float:
    """Seconds for writing the same rows once more, into tables of the same make."""
    with database.transaction() as conn:
        for table in TABLES:
            _copy_make(conn, table)
    begin = time.perf_counter()
    with database.transaction() as conn:
        for table in TABLES:
            # With a condition: without one SQLite copies pages of the table and its indexes as they are.
            conn.execute(text(f"INSERT INTO bare_{table} SELECT * FROM {table} WHERE id > 0"))
    seconds = time.perf_counter() - begin
    with database.transaction() as conn:
        for table in TABLES:
            conn.execute(text(f"DROP TABLE bare_{table}"))
    return seconds


def _copy_make(conn: Connection, table: str) -> None:
    if conn.dialect.name == "postgresql":
        conn.execute(text(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)"))
        return
    made = conn.execute(
        text("SELECT name, sql FROM sqlite_master WHERE tbl_name = :table AND sql <> '' ORDER BY type DESC"),
        {"table": table},
    ).all()
    for name, sql in made:
        if sql.startswith("CREATE TRIGGER"):
            continue
        conn.exec_driver_sql(
            sql.replace(name, f"bare_{name}", 1).replace(f" ON {table} ", f" ON bare_{table} ", 1)
        )


def _memory(folder: Path, rows: Rows, people: int) -> float:
    """The most that a service used, in MB, which planned all of them, and sent 2,000 confirmations or all there are."""
    with receivers.sink() as port, running(folder, rows.url, port) as service:
        _register(rows, people)
        while rows.one("SELECT count(*) FROM registrant_change"):
            time.sleep(0.5)
        seconds_until_sent(rows, min(2000, people))
        return service.peak_memory()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few deliveries only: does it run?")
    parser.add_argument("--svg", type=Path, help="draw the growth into this file")
    chosen = parser.parse_args()
    sizes = (20,) if chosen.quick else (200, 2_000, 20_000, 200_000)
    print("| engine | deliveries | planned | of bare SQL | a tick with nothing new | one zone edited | one rule edited"
          " | peak memory |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    gc.collect()
    gc.freeze()  # as `webinar run` does
    found = [one for engine in ("sqlite", "postgresql") for one in _of(engine, sizes)]
    if chosen.svg:
        draw(found, chosen.svg)


def _of(engine: str, sizes: Sequence[int]) -> Iterator[Figures]:
    with databases(engine) as new:
        for people in sizes:
            one = measure(engine, new, people)
            print(
                f"| {engine} | {one.deliveries:,} | {one.planned:.2f} s | {one.planned / one.bare:.1f} times"
                f" | {one.idle_tick * 1000:.1f} ms | {one.one_person * 1000:.0f} ms | {one.one_rule:.2f} s"
                f" | {one.memory:.0f} MB |",
                flush=True,
            )
            yield one


def draw(found: Sequence[Figures], file: Path) -> None:
    """Planning and an idle tick against the number of deliveries, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    lines: dict[str, Callable[[Figures], float]] = {
        "planned": lambda one: one.planned,
        "bare SQL": lambda one: one.bare,
        "a tick with nothing new": lambda one: one.idle_tick,
    }
    for engine, style in (("sqlite", "-"), ("postgresql", "--")):
        here = [one for one in found if one.engine == engine]
        for (name, value), colour in zip(lines.items(), ("C0", "C7", "C2"), strict=True):
            axes.loglog([one.deliveries for one in here], [value(one) for one in here], style, color=colour,
                        marker="o", label=f"{name}, {engine}")  # fmt: skip
    axes.set(xlabel="deliveries", ylabel="seconds")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.savefig(file)


if __name__ == "__main__":
    main()
