"""How long others wait for a confirmation while thousands are taken in, reloaded, moved, imported or pulled.

    python -m benchmarks.beside [--quick]

The thousands have one reminder, days ahead: nothing of theirs goes out. PostgreSQL has statistics of empty tables, as
autovacuum leaves them. Each half a second one person registers for the other webinar; timed is from the INSERT to the
relay's yes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import receivers
from benchmarks.service import WEBINAR, Ledger, databases, running, write_webinar

SOURCE = '\n[source]\npath = "pulled.csv"\nevery = "1d"\n'
REMINDER = '\n[[messages]]\nid = "reminder-day"\nbefore_start = "24h"\n'
START = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=9)
NUMBERS = {
    True: "SELECT n FROM generate_series(1, {many}) AS n",
    False: "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {many}) SELECT n FROM c",
}
WAITS = (
    "SELECT (SELECT count(*) FROM (SELECT 1 FROM registrant_change LIMIT 1) AS a)"
    " + (SELECT count(*) FROM (SELECT 1 FROM webinar WHERE behind) AS b)"
    " + (SELECT count(*) FROM (SELECT 1 FROM registration WHERE plan = 0 LIMIT 1) AS c)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few people: does it run?")
    people = 50 if parser.parse_args().quick else 30_000
    print("| engine | people | what happens to them | planned in | others' longest wait | of |")
    print("|---|---|---|---|---|---|")
    for engine in ("sqlite", "postgresql"):
        with databases(engine) as new:
            for what, seconds, waits in _measure(new(), people):
                print(
                    f"| {engine} | {people:,} | {what} | {seconds:.1f} s | {max(waits):.2f} s | {len(waits)} |",
                    flush=True,
                )


def _measure(ledger: Ledger, people: int) -> Iterator[tuple[str, float, list[float]]]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, receivers.sink() as port:
        folder = Path(name)
        write_webinar(folder, REMINDER, start=START, end=START + timedelta(hours=1), notice_after="0s")
        write_webinar(folder, name="other")
        write_webinar(folder, REMINDER + SOURCE, name="pulled", start=START, end=START + timedelta(hours=1))
        with running(folder, ledger.url, port):
            if ledger.is_postgresql:
                with ledger.connection() as conn:
                    conn.execute("ANALYZE")
            numbers = NUMBERS[ledger.is_postgresql].format(many=people)
            load = (
                "INSERT INTO registrants (webinar, email)"
                f" SELECT 'w', 'person-' || n || '@example.com' FROM ({numbers}) AS numbers"
            )
            others = _Others(ledger)
            yield "taken in", *others.wait_beside(lambda: _execute(ledger, load))
            delete = "DELETE FROM registrants WHERE webinar = 'w'"
            yield "reloaded", *others.wait_beside(lambda: _execute(ledger, delete, load))
            later = START + timedelta(hours=1)
            end = later + timedelta(hours=1)
            yield (
                "moved",
                *others.wait_beside(
                    lambda: write_webinar(folder, REMINDER, start=later, end=end, notice_after="0s")
                ),
            )
            yield "imported", *others.wait_beside(lambda: _import(folder, ledger, people))
            yield "pulled", *others.wait_beside(lambda: _pull(folder, ledger, range(people)))
            yield (
                "pulled, in another order",
                *others.wait_beside(lambda: _pull(folder, ledger, reversed(range(people)))),
            )
            yield "pulled, unchanged", *others.wait_beside(lambda: _pull(folder, ledger, None))


def _import(folder: Path, ledger: Ledger, people: int) -> subprocess.Popen[bytes]:
    """`webinar import`, under way."""
    file = folder / "people.csv"
    rows = "".join(f"imported-{number}@example.com\n" for number in range(people))
    file.write_text(f"email\n{rows}")
    places = {"CONFIG_DIR": str(folder / "config"), "TEMPLATES_DIR": str(folder / "templates")}
    command: list[str | Path] = [WEBINAR, "import", file, "--webinar", "w"]
    return subprocess.Popen(command, env={"DATABASE_URL": ledger.url} | places, stdout=subprocess.DEVNULL)


def _pull(folder: Path, ledger: Ledger, people: Iterable[int] | None) -> subprocess.Popen[bytes]:
    """`webinar pull`, under way, of a file with these people; of the same file where there are none."""
    file = folder / "pulled.csv"
    if people is not None:
        file.write_text("email\n" + "".join(f"pulled-{number}@example.com\n" for number in people))
        os.utime(file, (0, 0))  # nobody is writing it
    environment = {"DATABASE_URL": ledger.url, "SOURCES_DIR": str(folder)}
    return subprocess.Popen([WEBINAR, "pull", "pulled"], env=environment, stdout=subprocess.DEVNULL)


def _execute(ledger: Ledger, *statements: str) -> None:
    with ledger.connection() as conn:
        for statement in statements:
            conn.execute(statement)


class _Others:
    """People of the other webinar, one after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._known = ledger, 0

    def wait_beside(self, event: Callable[[], subprocess.Popen[bytes] | None]) -> tuple[float, list[float]]:
        """Seconds until all that follows from it is planned, and those that each of them waited meanwhile. The event
        may go on in a process."""
        process = event()
        began, first = time.monotonic(), self._known
        registered = []
        time.sleep(1.0 if first else 0.5)  # until the file, or the rows, are seen
        while True:
            registered.append(datetime.now(UTC))
            self._ledger.register(self._known, 1, "other")
            self._known += 1
            time.sleep(0.5)
            if process and process.poll() is None:
                continue
            assert not process or process.returncode == 0, f"exit {process.returncode}"
            if not self._ledger.one(WAITS) and time.monotonic() - began > 2:
                break
        took = time.monotonic() - began
        sent = self._sent(self._known)
        return took, [(sent[first + n] - at).total_seconds() for n, at in enumerate(registered)]

    def _sent(self, many: int) -> dict[int, datetime]:
        query = (
            "SELECT r.address, d.sent_at FROM delivery d JOIN registration r ON r.id = d.registration_id"
            " WHERE d.webinar = 'other' AND d.state = 'sent'"
        )
        while True:
            with self._ledger.connection() as conn:
                rows = conn.execute(query).fetchall()
            if len(rows) == many:
                break
            time.sleep(0.1)
        return {
            int(address.removeprefix("person-").partition("@")[0]): at
            if self._ledger.is_postgresql
            else datetime.fromisoformat(at).replace(tzinfo=UTC)
            for address, at in rows
        }


if __name__ == "__main__":
    main()
