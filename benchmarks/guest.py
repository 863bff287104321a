"""How long a transaction of sending waits for the web process, which writes one small row after the other (SQLite).

    python -m benchmarks.guest [--quick]

As another service would write (each waits for the disk, none for another), and as a guest does (`Database`).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import Connection, text

from scheduler.database.engine import Database

_WRITER = """
import sys
from sqlalchemy import text
from scheduler.database.engine import Database
database = Database(sys.argv[1], guest=sys.argv[2] == "guest")
print("begun", flush=True)
while True:
    database.in_transaction(lambda conn: conn.execute(text("INSERT INTO web VALUES ('" + "x" * 300 + "')")))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a moment each: does it run?")
    seconds, rounds = (0.2, 1) if parser.parse_args().quick else (5.0, 3)
    print("| beside | transactions | wait until it begins: median | 99th percentile | longest |")
    print("|---|---|---|---|---|")
    waits: dict[str, list[float]] = {"nobody": [], "another service": [], "a guest": []}
    for _ in range(rounds):
        for writer, found in waits.items():
            found.extend(_waits(writer.rpartition(" ")[2], seconds))
    for writer, found in waits.items():
        highest = statistics.quantiles(found, n=100)[98] if len(found) > 1 else found[0]
        print(
            f"| {writer} | {len(found)} | {statistics.median(found) * 1000:.2f} ms | {highest * 1000:.1f} ms"
            f" | {max(found) * 1000:.1f} ms |",
            flush=True,
        )


def _waits(writer: str, seconds: float) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=".") as folder:  # on a disk
        url = f"sqlite:///{Path(folder).absolute()}/webinar.db"
        database = Database(url)
        with database.transaction() as conn:
            conn.execute(text("CREATE TABLE web (words TEXT)"))
            conn.execute(text("CREATE TABLE ledger (words TEXT)"))
        if writer == "nobody":
            return _send(database, seconds)
        command = [sys.executable, "-c", _WRITER, url, writer]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
            assert other.stdout
            other.stdout.readline()
            try:
                return _send(database, seconds)
            finally:
                other.kill()


def _send(database: Database, seconds: float) -> list[float]:
    """Seconds from the wish to begin to the beginning, of transactions of ten rows one after the other."""
    found: list[float] = []
    end = time.monotonic() + seconds

    def one(conn: Connection) -> None:
        found.append(time.monotonic() - wished)
        for _ in range(10):
            conn.execute(text("INSERT INTO ledger VALUES ('one')"))

    while time.monotonic() < end:
        wished = time.monotonic()
        database.in_transaction(one)
        time.sleep(0.002)
    database.close()
    return found


if __name__ == "__main__":
    main()
