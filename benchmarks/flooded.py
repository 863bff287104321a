"""How long a due mail waits while every listener is flooded, fuzzed and fed byte by byte, beside an idle service.

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
from datetime import UTC, datetime

import httpx

from benchmarks.service import HOST, Ledger, Service, databases
from benchmarks.waiting import due_to_first_byte, say
from scheduler.database.engine import Database
from scheduler.editor.accounts import Editor, put
from tests.endtoend.support import free_port

PASSWORD = "four words make one"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few mails: does it run?")
    mails, rounds = (20, 1) if parser.parse_args().quick else (200, 3)
    print("| from due to the first byte of the content | mails | median | 99th percentile | longest |")
    print("|---|---|---|---|---|")
    for engine in ("sqlite", "postgresql"):
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
        with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=60) as client:
            session = _signed_in(client, ledger)
        command = [sys.executable, "-m", "tests.endurance.flood", str(service.health_port), str(port)]
        with subprocess.Popen([*command, session, Editor("", "view", session).csrf]) as attackers:
            yield
            attackers.kill()
        ours, web = service.peak_memory(), service.peak_memory_of_web()
        memory.append(f"peak memory {ours:.0f} MB, of the web process {web:.0f} MB")

    return due_to_first_byte(new, mails, beside, EDITOR="on", EDITOR_PORT=str(port))


def _signed_in(client: httpx.Client, ledger: Ledger) -> str:
    database = Database(ledger.url)
    with database.transaction() as conn:
        put(conn, datetime.now(UTC), "eve@who.int", PASSWORD, "view")
    database.close()
    end = time.monotonic() + 60
    while True:
        try:
            answer = client.post("/templates/sign-in", data={"address": "eve@who.int", "password": PASSWORD})
        except httpx.TransportError:
            assert time.monotonic() < end, "the editor does not answer"
            time.sleep(0.1)
        else:
            return str(answer.cookies["session"])


if __name__ == "__main__":
    main()
