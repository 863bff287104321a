"""What a registrant costs in the database, before and after their personal data is removed, and how long the longest
transaction of that removal keeps others waiting; on both engines.

    python -m benchmarks.keeping [--quick]

Each registrant has four mails that were sent, two of them with a version of the invitation (1.6 kB), and four replies.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import datetime, timedelta

from sqlalchemy import Connection, event, text

from benchmarks.service import databases
from scheduler.database.engine import Database
from scheduler.ledger import claims, outcomes
from scheduler.ledger.entries import Outcome, Version
from scheduler.ledger.states import State
from scheduler.service.purger import Purger
from tests.support import Ledger, start, utc, webinar

PLANNED, END = utc("2025-06-12 08:00"), utc("2025-07-03 13:00")
CALENDAR = b"X" * 1600
REPLY = "2.0.0 Ok: queued as 4bXyZ12345z9rT <maya.shrestha@example.org>"
ROUNDS = (PLANNED, utc("2025-07-02 12:00"), utc("2025-07-03 10:30"), utc("2025-07-04 12:00"))


def fill(ledger: Ledger, people: int) -> None:
    ledger.govern(webinar())
    with ledger.database.transaction() as conn:
        rows = [{"email": f"person{n}@example.org", "name": f"Person Number {n}"} for n in range(people)]
        insert = (
            "INSERT INTO registrants (webinar, email, name, timezone, country)"
            " VALUES ('w', :email, :name, 'Europe/Zurich', 'CH')"
        )
        conn.execute(text(insert), rows)
    ledger.plan(PLANNED)
    for number, now in enumerate(ROUNDS):
        while ledger.database.in_transaction(lambda conn: send(conn, now, number)):  # noqa: B023
            pass


def send(conn: Connection, now: datetime, number: int) -> int:
    claimed = claims.claim(conn, now, claims.new_token(1), 500, 500)
    versions = [
        Version(one.uid, number, "REQUEST", now, "", CALENDAR) if number < 2 else None for one in claimed
    ]
    starts = [start(one, now, invitation=version) for one, version in zip(claimed, versions, strict=True)]
    outcomes.begin(conn, starts)
    outcomes.conclude(conn, [Outcome(one, State.SENT, now, "sent", code=250, reply=REPLY) for one in claimed])
    return len(claimed)


def in_use(database: Database) -> int:
    """Octets that hold something, without the table that is its owner's."""
    if database.dialect.takes_replicas:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("VACUUM FULL"))
            query = (
                "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
                " AND relnamespace = 'public'::regnamespace AND relname <> 'registrants'"
            )
            return int(conn.execute(text(query)).scalar_one())
    with database.engine.connect() as conn:
        owners = "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'registrants%'"
        theirs = int(conn.exec_driver_sql(owners).scalar_one())
        return (_pages(conn, "page_count") - _pages(conn, "freelist_count")) * 4096 - theirs


def _pages(conn: Connection, name: str) -> int:
    return int(conn.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def on_disk(database: Database) -> int:
    with database.engine.connect() as conn:
        if database.dialect.takes_replicas:
            return int(conn.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
        return _pages(conn, "page_count") * 4096


async def removed(database: Database) -> tuple[float, float]:
    """Seconds in all, and of the longest transaction."""
    took: list[float] = []

    def begins(_conn: Connection) -> None:
        took.append(-time.perf_counter())

    def ends(_conn: Connection) -> None:
        took[-1] += time.perf_counter()

    event.listen(database.engine, "begin", begins)
    event.listen(database.engine, "commit", ends)
    one, began = Purger(database), time.perf_counter()
    for now in (END + timedelta(days=83), END + timedelta(days=90)):
        while await one.purge(now, 0.2):
            pass
    seconds = time.perf_counter() - began
    event.remove(database.engine, "begin", begins)
    event.remove(database.engine, "commit", ends)
    return seconds, max(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    people = 20 if parser.parse_args().quick else 4000
    print(
        "| engine | a registrant before | after | on disk before | after | removed in | longest transaction |\n"
        "|---|---|---|---|---|---|---|"
    )
    for engine in ("sqlite", "postgresql"):
        with databases(engine) as new:
            database = Database(new().url)
            database.migrate()
            empty = in_use(database)
            fill(Ledger(database), people)
            before, disk_before = (in_use(database) - empty) / people, on_disk(database)
            seconds, longest = asyncio.run(removed(database))
            disk_after, after = on_disk(database), (in_use(database) - empty) / people
            database.close()
        print(
            f"| {engine} | {before:,.0f} octets | {after:,.1f} octets | {disk_before / 1e6:.0f} MB |"
            f" {disk_after / 1e6:.0f} MB | {seconds:.1f} s | {longest * 1000:.0f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    main()
