"""What registering people over the API costs, and how long due mails wait meanwhile.

    python -m benchmarks.registering [--quick]

One system registers people of another webinar, 1,000 in a call, one call after the other; then some by a call each.
Beside it reminders are due, a quarter of a second apart.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from benchmarks.service import HOST, Ledger, Service, databases
from benchmarks.waiting import due_to_first_byte, say
from scheduler.database.engine import Database
from scheduler.web.api import keys
from scheduler.web.api.shapes import MOST_ROWS
from tests.endtoend.support import free_port

WEBINAR = "many"
ZONES = ("Africa/Lagos", "Asia/Kolkata", "Europe/Paris", "America/Lima", "Geneva", "")


@dataclass
class System:
    """A system that registers people. Times are seconds."""

    people: int
    by_one: int
    longest: float = 0.0  # call
    accepted: float = 0.0  # all of the calls with many people
    taken_in: float = 0.0  # until all of them are planned
    by_one_each: float = 0.0
    web_memory: float = 0.0  # MB
    _failed: list[BaseException] = field(default_factory=list)

    def work(self, port: int, ledger: Ledger) -> None:
        try:
            self._work(port, ledger)
        except BaseException as error:
            self._failed.append(error)

    def _work(self, port: int, ledger: Ledger) -> None:
        key, begin = _key(ledger), time.monotonic()
        path = f"http://{HOST}:{port}/api/webinars/{WEBINAR}/registrants"
        with httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
            for first in range(0, self.people, MOST_ROWS):
                rows = [_person(number) for number in range(first, min(first + MOST_ROWS, self.people))]
                began = time.monotonic()
                client.post(path, json={"registrants": rows}).raise_for_status()
                self.longest = max(self.longest, time.monotonic() - began)
            self.accepted = time.monotonic() - begin
            began = time.monotonic()
            for number in range(self.by_one):
                client.put(
                    f"{path}/one-{number}@example.com", json={"name": f"Person {number}"}
                ).raise_for_status()
            self.by_one_each = (time.monotonic() - began) / self.by_one
        while (
            ledger.one(f"SELECT count(*) FROM delivery WHERE webinar = '{WEBINAR}'")
            < self.people + self.by_one
        ):
            time.sleep(0.2)
        self.taken_in = time.monotonic() - begin

    def check(self) -> None:
        if self._failed:
            raise self._failed[0]


def _person(number: int) -> dict[str, str]:
    return {
        "email": f"person-{number}@example.com",
        "name": f"Person {number}",
        "timezone": ZONES[number % len(ZONES)],
        "language": "en",
    }


def _key(ledger: Ledger) -> str:
    database = Database(ledger.url)
    with database.transaction() as conn:
        key = keys.add(conn, datetime.now(UTC), "benchmark", WEBINAR)
    database.close()
    assert key
    return key


def _beside(new: Callable[[], Ledger], mails: int, system: System | None) -> list[float]:
    port = free_port()

    @contextmanager
    def beside(service: Service, ledger: Ledger) -> Iterator[None]:
        if system is None:
            yield
            return
        _until_it_answers(port)
        thread = threading.Thread(target=system.work, args=(port, ledger))
        thread.start()
        yield
        thread.join()
        system.web_memory = service.peak_memory_of_web()
        system.check()

    return due_to_first_byte(
        new, mails, beside, WEBINAR, PAGES_URL="https://pages.test", PAGES_PORT=str(port), TRUSTED_PROXIES="192.0.2.1"
    )  # fmt: skip


def _until_it_answers(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"http://{HOST}:{port}/api/openapi.json", timeout=60).raise_for_status()
            return
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few people: does it run?")
    quick = parser.parse_args().quick
    mails, people, by_one = (4, 2_000, 5) if quick else (200, 100_000, 200)
    print("| from due to the first byte of the content | mails | median | 99th percentile | longest |")
    print("|---|---|---|---|---|")
    systems: dict[str, System] = {}
    for engine in ("sqlite",) if quick else ("sqlite", "postgresql"):
        with databases(engine) as new:
            system = systems[engine] = System(people, by_one)
            say(f"{engine}, idle", _beside(new, mails, None))
            say(f"{engine}, beside {people:,} registrations", _beside(new, mails, system))
    print(
        f"\n| {people:,} people | accepted | a second | longest call | all planned | one a call | memory of the web |"
    )
    print("|---|---|---|---|---|---|---|")
    for engine, one in systems.items():
        print(
            f"| {engine} | {one.accepted:.0f} s | {one.people / one.accepted:,.0f} | {one.longest * 1000:.0f} ms"
            f" | after {one.taken_in:.0f} s | {one.by_one_each * 1000:.0f} ms | {one.web_memory:.0f} MB |"
        )


if __name__ == "__main__":
    main()
