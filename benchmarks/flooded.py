"""How long a due mail waits while every listener is flooded, fuzzed and fed byte by byte, and while the registrants'
pages are asked for 5,000 times a second, beside an idle service.

    python -m benchmarks.flooded [--quick]

From due to the first byte of the content, idle and flooded in turn; and the peak memory of service and web process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.service import HOST, Ledger, Service, databases, session_of_editor
from benchmarks.waiting import due_to_first_byte, say
from scheduler.web.accounts import Editor
from tests.endtoend.support import free_port

RATE = 5_000  # requests of pages a second
VISITORS = 200  # registrants whose pages are asked for


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few mails: does it run?")
    quick = parser.parse_args().quick
    mails, rounds = (4, 1) if quick else (200, 3)
    print("| from due to the first byte of the content | mails | median | 99th percentile | longest |")
    print("|---|---|---|---|---|")
    for engine in ("sqlite",) if quick else ("sqlite", "postgresql"):
        idle: list[float] = []
        flooded: list[float] = []
        visited: list[float] = []
        notes: list[str] = []
        with databases(engine) as new:
            for _ in range(rounds):
                idle += due_to_first_byte(new, mails // rounds, EDITOR="on", EDITOR_PORT=str(free_port()))
                flooded += _flooded(new, mails // rounds, notes)
                visited += _visited(new, mails // rounds, notes)
        say(f"{engine}, idle", idle)
        say(f"{engine}, flooded", flooded)
        say(f"{engine}, pages asked for {RATE:,} times a second", visited)
        print("\n".join(f"{engine}: {note}" for note in notes), flush=True)


def _flooded(new: Callable[[], Ledger], mails: int, notes: list[str]) -> list[float]:
    port = free_port()

    @contextmanager
    def beside(service: Service, ledger: Ledger) -> Iterator[None]:
        session = session_of_editor(ledger, port, "view")
        command = [sys.executable, "-m", "tests.endurance.flood", str(service.health_port), str(port)]
        with subprocess.Popen([*command, session, Editor("", "view", session).csrf]) as attackers:
            yield
            attackers.kill()
        notes.append(f"flooded: {_peak_memory(service)}")

    return due_to_first_byte(new, mails, beside, EDITOR="on", EDITOR_PORT=str(port))


def _visited(new: Callable[[], Ledger], mails: int, notes: list[str]) -> list[float]:
    port = free_port()

    @contextmanager
    def beside(service: Service, ledger: Ledger) -> Iterator[None]:
        keys = _keys(ledger)
        command = [sys.executable, "-m", "tests.endurance.visitors", str(port), str(RATE), *keys]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as visitors:
            begin = time.monotonic()
            yield
            seconds = time.monotonic() - begin
            visitors.kill()
            answered = int(visitors.communicate()[0].split()[-1])
        notes.append(f"pages: {answered / seconds:,.0f} answers a second, {_peak_memory(service)}")

    pages = {"PAGES_PORT": str(port), "PAGES_URL": "https://webinars.who.int", "TRUSTED_PROXIES": HOST}
    return due_to_first_byte(new, mails, beside, **pages)


def _keys(ledger: Ledger) -> list[str]:
    """Register people for webinar "v", whom no mail is planned for. Returns the keys of their pages."""
    ledger.register(1_000_000, VISITORS, "v")
    while ledger.one("SELECT count(*) FROM registration WHERE webinar = 'v'") < VISITORS:
        time.sleep(0.1)
    with ledger.connection() as conn:
        return [key for (key,) in conn.execute("SELECT key FROM registration WHERE webinar = 'v'").fetchall()]


def _peak_memory(service: Service) -> str:
    ours, web = service.peak_memory(), service.peak_memory_of_web()
    return f"peak memory {ours:.0f} MB, of the web process {web:.0f} MB"


if __name__ == "__main__":
    main()
