"""How fast mails go out: the service beside smtp-source, aiosmtplib, nodemailer and Django's mail.

    python -m benchmarks.sending [--quick] [--mails 20000] [--rounds 3]

Every sender sends as many mails with an invitation over 10 connections to Postfix's smtp-sink; the rounds are
interleaved. The service is timed from the INSERT of its registrants, so with planning, until the ledger says `sent` of
the last, durably; the others from their first connection to their last reply.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from email import message_from_string, policy
from pathlib import Path

from benchmarks import receivers
from benchmarks.crowds import CROWDS, ONE, WORLD, WORLD_EVENLY, Crowd
from benchmarks.service import (
    CONNECTIONS,
    HOST,
    WEBINAR,
    Ledger,
    databases,
    running,
    seconds_until_sent,
    write_webinar,
)

SENDERS = Path(__file__).parent / "senders"
ROOT = Path(__file__).parents[1]
WARM_UP = 200  # mails that are sent before, at most as many as are timed

Timed = Callable[[int], float]
"""Sends so many mails, and gives the seconds."""


def service(
    new: Callable[[], Ledger],
    processes: int = 1,
    crowd: Crowd = ONE,
    *,
    eight_bit: bool = True,
    spent: list[float] | None = None,
    **environment: str,
) -> Timed:
    """So many services on one ledger. `spent` gets their milliseconds of processor time a mail."""

    def timed(mails: int) -> float:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, ExitStack() as opened:
            write_webinar(Path(folder), languages=list(crowd.languages))
            port = opened.enter_context(receivers.sink(eight_bit=eight_bit))
            ledger = new()
            services = [
                opened.enter_context(running(Path(folder), ledger.url, port, **environment))
                for _ in range(processes)
            ]
            warm_up = min(WARM_UP, mails)
            ledger.register(0, warm_up, crowd=crowd)
            seconds_until_sent(ledger, warm_up)
            before, begin = sum(one.processor() for one in services), time.monotonic()
            ledger.register(warm_up, mails, crowd=crowd)
            inserted = time.monotonic() - begin
            seconds = inserted + seconds_until_sent(ledger, warm_up + mails)
            if spent is not None:
                spent.append(1000 * (sum(one.processor() for one in services) - before) / mails)
            return seconds

    return timed


def another(*command: str | Path) -> Timed:
    """A program that takes port, mails, connections and the mail's words, and prints its seconds."""

    def timed(mails: int) -> float:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, receivers.sink() as port:
            words = Path(folder) / "mail.json"
            words.write_text(json.dumps(mail_words()), "utf-8")
            arguments = [str(port), str(mails), str(CONNECTIONS), str(words)]
            done = subprocess.run(
                [*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
            )
            return float(done.stdout)

    return timed


def smtp_source(size: int) -> Timed:
    """Postfix's own generator of mails of `size` bytes: the limit."""

    def timed(mails: int) -> float:
        with receivers.sink() as port:
            begin = time.monotonic()
            numbers = ["-s", str(CONNECTIONS), "-m", str(mails), "-l", str(size)]
            subprocess.run(
                ["smtp-source", "-d", *numbers, "-t", "you@example.com", f"{HOST}:{port}"], check=True
            )
            return time.monotonic() - begin

    return timed


def mail_words() -> dict[str, str]:
    """What the service's own mail says, for the others to build it, with marks where a person's data go."""
    webinar = "config/webinars/trilateral-2025.toml"
    given: list[str | Path] = [
        WEBINAR,
        "preview",
        "confirmation",
        "--webinar",
        webinar,
        "--language",
        "en",
        "--zone",
        "Africa/Abidjan",
    ]
    done = subprocess.run([*given, "--format", "eml"], cwd=ROOT, capture_output=True, text=True, check=True)
    mail = message_from_string(done.stdout, policy=policy.default)
    parts = {part.get_content_type(): part for part in mail.walk()}

    def words(kind: str) -> str:
        said = parts[kind].get_content()
        said = said.decode("utf-8") if isinstance(said, bytes) else said
        return said.replace("Sample Registrant", "@NAME@").replace("registrant@example.org", "@ADDRESS@")

    calendar = "\n".join(
        "UID:@UID@" if line.startswith("UID:") else line for line in words("text/calendar").splitlines()
    )
    return {
        "subject": mail["Subject"], "sender": "Webinars <webinars@who.int>",
        "text": words("text/plain"), "html": words("text/html"), "calendar": calendar.replace("\n", "\r\n"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few mails, one round: does it run?")
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    mails, rounds = (40, 1) if chosen.quick else (chosen.mails, chosen.rounds)
    size = sum(len(words) for words in mail_words().values())
    with databases("sqlite") as file, databases("postgresql") as server:
        spent: dict[str, list[float]] = defaultdict(list)

        def by_crowd(name: str, new: Callable[[], Ledger]) -> dict[str, Timed]:
            names = dict(
                zip((name, f"{name}: {WORLD.name}", f"{name}: {WORLD_EVENLY.name}"), CROWDS, strict=True)
            )
            return {one: service(new, crowd=crowd, spent=spent[one]) for one, crowd in names.items()}

        senders: dict[str, Timed] = {
            "smtp-source (the limit)": smtp_source(size),
            **by_crowd("the service, SQLite", file),
            "… quoted-printable": service(file, eight_bit=False),
            "… without pipelining": service(file, SMTP_PIPELINING="off"),
            **by_crowd("the service, PostgreSQL", server),
            "two services, PostgreSQL": service(server, 2, spent=spent["two services, PostgreSQL"]),
            "aiosmtplib": another(sys.executable, SENDERS / "aiosmtplib_plainly.py"),
            "nodemailer": another("node", SENDERS / "nodemailer.mjs"),
            "Django's mail": another(sys.executable, SENDERS / "django_mail.py"),
        }
        if chosen.quick:  # the others do the same with other settings
            del senders["… without pipelining"], senders["the service, PostgreSQL"]
        rates: dict[str, list[float]] = {name: [] for name in senders}
        for _ in range(rounds):
            for name, timed in senders.items():
                slow = name.startswith(("aio", "Django", "node"))
                number = mails * 5 if name.startswith("smtp") else mails // 4 if slow else mails
                rates[name].append(number / timed(number))
                print(f"{name:62}{rates[name][-1]:8,.0f} mails/s", flush=True)
    print(
        f"\n{size / 1000:.0f} kB of words, {CONNECTIONS} connections, {os.cpu_count()} cores, medians of {rounds}\n"
    )
    median = {name: statistics.median(found) for name, found in rates.items()}
    print("| | mails a second | of one zone | ms of processor a mail | of smtp-source | times nodemailer |")
    print("|---|---|---|---|---|---|")
    for name, rate in median.items():
        of_limit, times = rate / median["smtp-source (the limit)"], rate / median["nodemailer"]
        one_zone = median.get(name.partition(":")[0], 0) if ":" in name else 0
        of_one = f"{rate / one_zone:.2f}" if one_zone else ""
        cost = f"{statistics.median(spent[name]):.2f}" if spent[name] else ""
        print(f"| {name} | {rate:,.0f} | {of_one} | {cost} | {of_limit:.2f} | {times:.1f} |")


if __name__ == "__main__":
    main()
