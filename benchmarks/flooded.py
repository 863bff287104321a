"""How long a due mail waits while every listener is flooded, fuzzed and fed byte by byte, beside an idle service.

    python -m benchmarks.flooded [--quick]

From due to the first byte of the content, idle and flooded in turn; and the peak memory of service and web process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.service import Ledger, Service, databases, session_of_editor
from benchmarks.waiting import due_to_first_byte, say
from scheduler.web.accounts import Editor
from tests.endtoend.support import free_port


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
        memory: list[str] = []
        with databases(engine) as new:
            for _ in range(rounds):
                idle += due_to_first_byte(new, mails // rounds, EDITOR="on", EDITOR_PORT=str(free_port()))
                flooded += _flooded(new, mails // rounds, memory)
        say(f"{engine}, idle", idle)
        say(f"{engine}, flooded", flooded)
        print(f"{engine}: {memory[-1]}", flush=True)


def _flooded(new: Callable[[], Ledger], mails: int, memory: list[str]) -> list[float]:
    port = free_port()

    @contextmanager
    def beside(service: Service, ledger: Ledger) -> Iterator[None]:
        session = session_of_editor(ledger, port, "view")
        command = [sys.executable, "-m", "tests.endurance.flood", str(service.health_port), str(port)]
        with subprocess.Popen([*command, session, Editor("", "view", session).csrf]) as attackers:
            yield
            attackers.kill()
        ours, web = service.peak_memory(), service.peak_memory_of_web()
        memory.append(f"peak memory {ours:.0f} MB, of the web process {web:.0f} MB")

    return due_to_first_byte(new, mails, beside, EDITOR="on", EDITOR_PORT=str(port))


if __name__ == "__main__":
    main()
