"""How far speed depends on the distance to the relay: mails a round trip, over one connection.

    python -m benchmarks.distance [--quick]

A real Postfix that throws mails away, 40 ms of round trip away behind a proxy: over BDAT with several mails in flight,
over grouped DATA (one round trip a mail), and without pipelining. Beside it nodemailer, over one connection, too.
"""

from __future__ import annotations

import argparse
import json
import smtplib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import receivers
from benchmarks.sending import ROOT, SENDERS, Timed, mail_words
from benchmarks.service import Ledger, databases, running, seconds_until_sent, write_webinar

ROUND_TRIP = 0.04  # seconds
WARM_UP = 8
WAYS = {
    "the service, BDAT": {},
    "the service, grouped DATA": {"SMTP_CHUNKING": "off"},
    "the service, without pipelining": {"SMTP_CHUNKING": "off", "SMTP_PIPELINING": "off"},
}


def measured() -> float:
    """Seconds between a command to the distant server and its reply, in the median."""
    with (
        receivers.postfix() as far,
        receivers.distant(far, ROUND_TRIP) as port,
        smtplib.SMTP(receivers.HOST, port) as client,
    ):
        took = []
        for _ in range(21):
            begin = time.perf_counter()
            client.noop()
            took.append(time.perf_counter() - begin)
    return statistics.median(took)


def service(new: Callable[[], Ledger], environment: dict[str, str]) -> Timed:
    """Seconds for so many mails over one connection, once it is open."""

    def timed(mails: int) -> float:
        with (
            tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
            receivers.postfix() as far,
            receivers.distant(far, ROUND_TRIP) as port,
        ):
            write_webinar(Path(folder))
            ledger = new()
            with running(Path(folder), ledger.url, port, SMTP_CONNECTIONS="1", **environment):
                ledger.register(0, WARM_UP + mails)
                seconds_until_sent(ledger, WARM_UP)
                return seconds_until_sent(ledger, WARM_UP + mails)

    return timed


def nodemailer(mails: int) -> float:
    """The same of nodemailer."""
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        receivers.postfix() as far,
        receivers.distant(far, ROUND_TRIP) as port,
    ):
        words = Path(folder) / "mail.json"
        words.write_text(json.dumps(mail_words()), "utf-8")
        command = ["node", str(SENDERS / "nodemailer.mjs"), str(port), str(mails), "1", str(words)]
        return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few mails, one round: does it run?")
    quick = parser.parse_args().quick
    mails, rounds = (16, 1) if quick else (600, 3)
    round_trip = measured()
    with databases("sqlite") as new:
        ways = list(WAYS)[:1] if quick else WAYS  # the others differ in a setting
        senders: dict[str, Timed] = {name: service(new, WAYS[name]) for name in ways}
        senders["nodemailer"] = nodemailer
        found: dict[str, list[float]] = {name: [] for name in senders}
        for _ in range(rounds):
            for name, timed in senders.items():
                number = mails if name in WAYS else mails // 4
                found[name].append(number / timed(number) * round_trip)
                print(f"{name:34}{found[name][-1]:6.2f} mails a round trip", flush=True)
    print(
        f"\n| {round_trip * 1000:.1f} ms away, one connection | mails a round trip | mails a second |\n|---|---|---|"
    )
    for name, each in found.items():
        rate = statistics.median(each)
        print(f"| {name} | {rate:.2f} | {rate / round_trip:.0f} |")


if __name__ == "__main__":
    main()
