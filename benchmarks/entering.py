"""People register by a webinar's page, one after the other and at once, beside another webinar's reminders.

    python -m benchmarks.entering [--quick]

Forms a second, and how long one is waited for; and mails a second meanwhile, and with nobody registering.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import random
import re
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from benchmarks import receivers
from benchmarks.service import HOST, Ledger, databases, running, write_webinar
from benchmarks.waiting import REMINDER, set_due, until_planned
from scheduler.web.pages.registering import TOO_QUICK
from tests.endtoend.support import free_port

BROWSERS = 8  # at once
FORM = "application/x-www-form-urlencoded"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few forms: do they arrive?")
    quick = parser.parse_args().quick
    forms, mails = (40, 200) if quick else (10_000, 20_000)
    print(
        "| | forms a second | a form is answered: median, 99th percentile, longest | mails a second meanwhile | alone |"
    )
    print("|---|---|---|---|---|")
    for engine in ("sqlite",) if quick else ("sqlite", "postgresql"):
        with databases(engine) as new:
            _measure(engine, new, forms, mails)


def _measure(engine: str, new: Callable[[], Ledger], forms: int, mails: int) -> None:
    port = free_port()
    pages = {"PAGES_PORT": str(port), "PAGES_URL": "https://webinars.who.int", "TRUSTED_PROXIES": HOST}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, receivers.sink() as relay:
        write_webinar(Path(folder), REMINDER)
        write_webinar(Path(folder), name="open", registration="open")
        ledger = new()
        with running(Path(folder), ledger.url, relay, **pages):
            ledger.register(0, 2 * mails)
            until_planned(ledger, 2 * mails)
            alone = _sending(ledger, "(registration_id & 1) = 0", lambda: time.sleep(5))
            took: list[float] = []
            began = time.monotonic()
            beside = _sending(
                ledger, "(registration_id & 1) = 1", lambda: took.extend(_register(port, forms))
            )
            seconds = time.monotonic() - began
            while (
                ledger.one("SELECT count(*) FROM delivery WHERE webinar = 'open' AND state = 'sent'") < forms
            ):
                time.sleep(0.2)
            confirmed = time.monotonic() - began
    took.sort()
    answered = f"{statistics.median(took):.3f} s, {took[int(len(took) * 0.99)]:.3f} s, {took[-1]:.3f} s"
    print(f"| {engine} | {forms / seconds:,.0f} | {answered} | {beside:,.0f} | {alone:,.0f} |")
    print(
        f"{engine}: {forms:,} forms in {seconds:.0f} s, all confirmations sent after {confirmed:.0f} s",
        flush=True,
    )


def _sending(ledger: Ledger, which: str, meanwhile: Callable[[], object]) -> float:
    """Mails a second of these reminders, from now until `meanwhile` is done or none is left."""
    count = f"SELECT count(*) FROM delivery WHERE webinar = 'w' AND state = 'sent' AND {which}"
    with ledger.connection() as conn:
        set_due(ledger, conn, datetime.now(UTC), f"webinar = 'w' AND {which}")
    began, done = time.monotonic(), threading.Event()
    rates = [0.0]

    def watch() -> None:
        left = ledger.one(f"SELECT count(*) FROM delivery WHERE webinar = 'w' AND {which}")
        while not done.is_set():
            sent = ledger.one(count)
            rates.append(sent / (time.monotonic() - began))
            if sent == left:
                return
            done.wait(0.2)

    with ThreadPoolExecutor(1) as beside:
        watching = beside.submit(watch)
        meanwhile()
        done.set()
        watching.result()
    return rates[-1]


def _register(port: int, forms: int) -> list[float]:
    """Send so many forms, each from a network of its own. Returns the seconds that each answer took."""
    _until_open(port)
    page = _ask(http.client.HTTPConnection(HOST, port), "GET", "", {})[1]
    found = re.search('name="stamp" value="([^"]*)"', page)
    assert found
    time.sleep(TOO_QUICK.total_seconds() + 1)
    numbers = iter(range(forms))
    lock = threading.Lock()

    def browser() -> list[float]:
        connection = http.client.HTTPConnection(HOST, port)
        took: list[float] = []
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return took
            typed = {
                "name": f"Person {number}",
                "address": f"form-{number}@example.com",
                "zone": random.choice(("Africa/Nairobi", "Asia/Tokyo", "America/Lima")),
                "country": "Kenya",
                "stamp": found[1],
            }
            began = time.monotonic()
            status, _ = _ask(connection, "POST", urlencode(typed), {"Content-Type": FORM})
            took.append(time.monotonic() - began)
            assert status == 303, status

    with ThreadPoolExecutor(BROWSERS) as browsers:
        return [
            seconds for one in [browsers.submit(browser) for _ in range(BROWSERS)] for seconds in one.result()
        ]


def _until_open(port: int) -> None:
    """Wait for the web process, without which the service is ready as well."""
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((HOST, port)):
            return
        time.sleep(0.1)


def _ask(
    connection: http.client.HTTPConnection, method: str, body: str, headers: dict[str, str]
) -> tuple[int, str]:
    network = ".".join(str(random.randrange(1, 255)) for _ in range(4))
    connection.request(method, "/w/open", body, {"X-Forwarded-For": network} | headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


if __name__ == "__main__":
    main()
