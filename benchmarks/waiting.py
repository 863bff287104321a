"""How long a mail waits: from its time to the first byte of its content, with the service idle; and a confirmation's
wait while a burst of reminders goes out.

    python -m benchmarks.waiting [--quick]

The receiver is ours, for it must note when a mail's first byte comes; for the burst it is smtp-sink, and the ledger
says when a confirmation was sent.
"""

from __future__ import annotations

import argparse
import socketserver
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import receivers
from benchmarks.service import (
    HOST,
    Ledger,
    Service,
    databases,
    running,
    seconds_until_sent,
    write_webinar,
)

APART = 0.25  # seconds
REMINDER = '\n[[messages]]\nid = "reminder-hour"\nbefore_start = "24h"\n'


class _Session(socketserver.StreamRequestHandler):
    """Notes when the first byte after DATA came, by recipient. Offers nothing."""

    def handle(self) -> None:
        recipient = ""
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                recipient = line.decode().partition("<")[2].partition(">")[0]
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self.rfile.peek(1)  # type: ignore[attr-defined]
                self.server.began[recipient] = time.time()  # type: ignore[attr-defined]
                while self.rfile.readline() != b".\r\n":
                    pass
            self.wfile.write(b"250 fine\r\n")


@contextmanager
def noting() -> Iterator[tuple[int, dict[str, float]]]:
    """Its port, and when each recipient's mail began (Unix, seconds)."""
    with socketserver.ThreadingTCPServer((HOST, 0), _Session) as server:
        server.daemon_threads = True
        server.began = {}  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], server.began  # type: ignore[attr-defined]
        server.shutdown()


def due_to_first_byte(
    new: Callable[[], Ledger],
    mails: int,
    beside: Callable[[Service, Ledger], AbstractContextManager[None]] = lambda service, ledger: nullcontext(),
    other: str = "",
    **environment: str,
) -> list[float]:
    """Seconds, of reminders whose times lie a quarter of a second apart, with something going on beside. Webinar "v"
    has no messages: what is done to its people is not measured. `other`: one more webinar, with reminders in two
    days."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, noting() as (port, began):
        write_webinar(Path(folder), REMINDER)
        write_webinar(Path(folder), "\nmessages = []\n", "v")
        if other:
            write_webinar(Path(folder), REMINDER, name=other)
        ledger = new()
        with running(Path(folder), ledger.url, port, **environment) as service, beside(service, ledger):
            ledger.register(0, mails)
            until_planned(ledger, mails)
            first = time.time() + 5
            with ledger.connection() as conn:
                rows = conn.execute(
                    "SELECT d.id, r.address FROM delivery d JOIN registration r ON r.id = d.registration_id"
                    " WHERE d.webinar = 'w'"
                ).fetchall()
                due = {address: first + APART * number for number, (_, address) in enumerate(rows)}
                for number, address in rows:
                    set_due(ledger, conn, datetime.fromtimestamp(due[address], UTC), f"id = {number}")
            seconds_until_sent(ledger, mails)
            return [began[address] - due[address] for address in due]


def until_planned(ledger: Ledger, mails: int) -> None:
    while ledger.one("SELECT count(*) FROM delivery WHERE webinar = 'w'") < mails:
        time.sleep(0.1)


def set_due(ledger: Ledger, conn: Any, at: datetime, which: str) -> None:
    written = at.isoformat(" ") if ledger.is_postgresql else at.replace(tzinfo=None).isoformat(" ")
    mark = "%s" if ledger.is_postgresql else "?"
    statement = f"UPDATE delivery SET due_at = {mark}, next_attempt_at = {mark} WHERE {which}"
    conn.execute(statement, (written, written))


def confirmations_in_a_burst(
    new: Callable[[], Ledger], reminders: int, confirmations: int, apart: float
) -> list[float]:
    """Seconds from the INSERT of a registrant, one each `apart` seconds, to the relay's yes, while so many reminders
    go out."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, receivers.sink() as port:
        write_webinar(Path(folder), REMINDER)
        write_webinar(Path(folder), name="new")
        ledger = new()
        with running(Path(folder), ledger.url, port):
            ledger.register(0, reminders)
            until_planned(ledger, reminders)
            with ledger.connection() as conn:
                set_due(ledger, conn, datetime.now(UTC), "webinar = 'w'")
            seconds_until_sent(ledger, 100)
            registered: dict[str, datetime] = {}
            for number in range(confirmations):
                registered[f"person-{number}@example.com"] = datetime.now(UTC)
                ledger.register(number, 1, "new")
                time.sleep(apart)
            left = ledger.one("SELECT count(*) FROM delivery WHERE webinar = 'w' AND state <> 'sent'")
            assert left, "the burst was over too soon"
            while (
                ledger.one("SELECT count(*) FROM delivery WHERE webinar = 'new' AND state = 'sent'")
                < confirmations
            ):
                time.sleep(0.1)
            with ledger.connection() as conn:
                rows = conn.execute(
                    "SELECT r.address, d.sent_at FROM delivery d JOIN registration r ON r.id = d.registration_id"
                    " WHERE d.webinar = 'new' AND d.state = 'sent'"
                ).fetchall()
            sent = {
                address: at if ledger.is_postgresql else datetime.fromisoformat(at).replace(tzinfo=UTC)
                for address, at in rows
            }
            return [(sent[address] - registered[address]).total_seconds() for address in registered]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few mails: does it run?")
    quick = parser.parse_args().quick
    print("| from due to the first byte of the content | mails | median | 99th percentile | longest |")
    print("|---|---|---|---|---|")
    for engine in ("sqlite", "postgresql"):
        with databases(engine) as new:
            say(engine, due_to_first_byte(new, 4 if quick else 200))
    print("\n| a registrant's INSERT to their confirmation, sent, in a burst of reminders | | | | |")
    print("|---|---|---|---|---|")
    burst = (1_000, 2, 0.05) if quick else (100_000, 30, 1.0)
    for engine in ("sqlite", "postgresql"):
        with databases(engine) as new:
            say(engine, confirmations_in_a_burst(new, *burst))


def say(what: str, waits: list[float]) -> None:
    """One line of a table."""
    highest = statistics.quantiles(waits, n=100)[98]
    print(
        f"| {what} | {len(waits)} | {statistics.median(waits) * 1000:.0f} ms | {highest * 1000:.0f} ms"
        f" | {max(waits) * 1000:.0f} ms |",
        flush=True,
    )


if __name__ == "__main__":
    main()
