"""What rows of `registrants` cost, on both engines: a first load, a nightly reload (DELETE and INSERT of all in one
transaction), many rows in one INSERT where PostgreSQL's statistics are those of empty tables, and one registrant beside
many rows of events that are not ours.

    python -m benchmarks.intake [--quick]

Each step: seconds until all rows are taken in, and then until everybody is planned.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytz

from benchmarks.service import Ledger as Rows
from benchmarks.service import databases, write_webinar
from scheduler.database.engine import Database
from scheduler.governing.revisions import Revisions, bring_up_to_date
from scheduler.governing.webinars import propose_webinars
from scheduler.registrants.changes import absorb_changes
from tests.support import SEQUENCE, plan

ZONES = list(pytz.common_timezones[:400])
DAY = timedelta(hours=24)
TABLES = (
    "registrants",
    "registrant_change",
    "row_set_aside",
    "registration",
    "delivery",
    "told",
    "zone_evidence",
)


class Site:
    """A database with one webinar, written to as a registration system does, and taken in as a service does."""

    def __init__(self, rows: Rows, source: str) -> None:
        self.rows, self.revisions = rows, Revisions()
        self.database = Database(rows.url.replace("postgresql://", "postgresql+psycopg://"))
        self.database.migrate()
        self.now = datetime.now(UTC)
        with self.database.transaction() as conn:
            propose_webinars(
                conn, self.now, Path("config"), {"webinars/w.toml": source.encode()}, self.revisions, 1, DAY
            )
        self.plan()

    def load(self, first: int, people: int, webinar: str = "w", *, clear: bool = False) -> None:
        """All rows in one transaction, on PostgreSQL in one statement."""
        columns = "INSERT INTO registrants (webinar, email, name, timezone)"
        with self.rows.connection() as conn:
            if clear:
                conn.execute("DELETE FROM registrants")
            if self.rows.is_postgresql:
                conn.execute(
                    f"{columns} SELECT '{webinar}', 'person-' || n || '@example.com', 'Person ' || n,"
                    f" (ARRAY{ZONES})[1 + n % {len(ZONES)}] FROM generate_series({first}, {first + people - 1}) AS n"
                )
                return
            values = (
                (webinar, f"person-{n}@example.com", f"Person {n}", ZONES[n % len(ZONES)])
                for n in range(first, first + people)
            )
            conn.executemany(f"{columns} VALUES (?, ?, ?, ?)", values)

    def take_in(self) -> tuple[float, float]:
        """Seconds until all rows are taken in, and those of the longest transaction."""
        begin, longest, more = time.perf_counter(), 0.0, True
        while more:
            began = time.perf_counter()
            with self.database.transaction() as conn:
                governing = self.revisions.governing(conn)
                webinars = {name: one.webinar for name, one in governing.items()}
                more = absorb_changes(conn, self.now, webinars, DAY).more
            longest = max(longest, time.perf_counter() - began)
        return time.perf_counter() - begin, longest

    def plan(self) -> float:
        begin, more = time.perf_counter(), True
        while more:
            with self.database.transaction() as conn:
                bring_up_to_date(conn, self.now, self.revisions)
                more = plan(conn, self.now, self.revisions.governing(conn), DAY)
        return time.perf_counter() - begin

    def waiting(self) -> int:
        return int(self.rows.one("SELECT count(*) FROM registration WHERE plan = 0"))

    def forget_everybody(self) -> None:
        """Statistics of tables that had rows once and are empty now, as autovacuum leaves them."""
        self.load(0, 1000)
        self.take_in()
        self.plan()
        with self.rows.connection() as conn:
            for table in TABLES:
                conn.execute(f"DELETE FROM {table}")
        if self.rows.is_postgresql:
            with self.rows.connection() as conn:
                for table in TABLES:
                    conn.execute(f"ANALYZE {table}")


@contextmanager
def sites(engine: str) -> Iterator[Callable[[], Site]]:
    start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=20)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, databases(engine) as new:
        write_webinar(Path(folder), SEQUENCE, start=start, end=start + timedelta(hours=1))
        source = (Path(folder) / "config/webinars/w.toml").read_text()
        yield lambda: Site(new(), source)


def measure(engine: str, people: int, at_once: int) -> None:
    with sites(engine) as new:
        site = new()
        site.load(0, people)
        _print(engine, f"first load of {people:,}", site)
        site.load(0, people, clear=True)
        _print(engine, f"reload of {people:,}", site)
        site = new()
        site.forget_everybody()
        site.load(0, at_once)
        _print(engine, f"{at_once:,} at once, statistics of empty tables", site, plans=False)
        site = new()
        site.load(0, at_once, "not-ours")
        _print(engine, f"{at_once:,} rows that are not ours", site)
        site.load(at_once, 1)
        _print(engine, "one registrant beside them", site)


def _print(engine: str, what: str, site: Site, *, plans: bool = True) -> None:
    taken, longest = site.take_in()
    waiting = site.waiting()
    planned = f"{site.plan():.2f} s" if plans else ""
    print(
        f"| {engine} | {what} | {taken:.2f} s | {longest * 1000:.0f} ms | {waiting:,} | {planned} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rows: does it run?")
    chosen = parser.parse_args()
    people, at_once = (100, 300) if chosen.quick else (30_000, 100_000)
    print(
        "| engine | | taken in | longest transaction | to be planned | planned |\n|---|---|---|---|---|---|"
    )
    gc.collect()
    gc.freeze()  # as `webinar run` does
    for engine in ("sqlite", "postgresql"):
        measure(engine, people, at_once)


if __name__ == "__main__":
    main()
