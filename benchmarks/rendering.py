"""Processor time per mail of rendering: one zone and language, and the whole world.

    python -m benchmarks.rendering [--mails 20000] [--rounds 3] [--beside CHECKOUT]

Each figure is of a new process, from its first mail, so what is made once counts. `--beside`: another checkout takes
turns with this one, as its package runs with this very file.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.crowds import CROWDS, Crowd
from scheduler.ledger.entries import Claimed
from scheduler.mail.text.layout import read_layout
from scheduler.mail.text.templates import parse_text
from scheduler.mail.texts import CurrentText
from scheduler.mail.writing.stencil import Stencils
from scheduler.webinar.model import Webinar, read_webinar

ROOT = Path(__file__).parents[1]
MESSAGES = ("confirmation", "reminder-day", "reminder-hour")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("CROWD", "MESSAGE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(*measured(CROWDS[int(chosen.one[0])], chosen.one[1], chosen.mails))
        return
    checkouts = {"here": ROOT} | ({"beside": chosen.beside} if chosen.beside else {})
    found: dict[tuple[int, str, str], list[tuple[float, float]]] = {}
    for _ in range(chosen.rounds):
        for number in range(len(CROWDS)):
            for message in MESSAGES:
                for name, checkout in checkouts.items():
                    one = _in_process(checkout, number, message, chosen.mails)
                    found.setdefault((number, message, name), []).append(one)
    print("| crowd | message | checkout | ms a mail | peak MiB |\n|---|---|---|---|---|")
    for (number, message, name), values in found.items():
        spent, memory = (statistics.median(one) for one in zip(*values, strict=True))
        print(f"| {CROWDS[number].name} | {message} | {name} | {spent:.3f} | {memory:.0f} |")


def _in_process(checkout: Path, crowd: int, message: str, mails: int) -> tuple[float, float]:
    # The package of that checkout, whose parts are found through it from then on, and the benchmarks of this one.
    code = (
        f"import scheduler, runpy, sys; sys.path.insert(0, {str(ROOT)!r});"
        f" runpy.run_module('benchmarks.rendering', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", code, "--mails", str(mails), "--one", str(crowd), message]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    spent, memory = map(float, done.stdout.split())
    return spent, memory


def measured(crowd: Crowd, message: str, mails: int) -> tuple[float, float]:
    """Milliseconds of processor time a mail, and the process's largest memory (MiB)."""
    webinar = read_webinar((ROOT / "config/webinars/trilateral-2025.toml").read_text("utf-8"), "w.toml")
    live = {language: _live(message, language) for language in crowd.languages}
    readers = _readers(crowd, webinar, message, mails)
    stencils = Stencils()
    moment = webinar.start - {
        "reminder-day": timedelta(hours=26),
        "reminder-hour": timedelta(minutes=58),
    }.get(message, timedelta(days=9))
    begin = time.process_time()
    for reader in readers:
        stencils.render(reader, webinar, live[reader.language], None, moment, "relay", eight_bit=True)
    spent = time.process_time() - begin
    return 1000 * spent / mails, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _live(message: str, language: str) -> CurrentText:
    root = ROOT / "templates"
    path = root / message / f"{language}.md"
    return CurrentText(
        parse_text(path.read_text("utf-8"), str(path), read_layout(root)), language, revision=1
    )


def _readers(crowd: Crowd, webinar: Webinar, message: str, mails: int) -> list[Claimed]:
    return [
        Claimed(
            id=number, token="t", registration_id=number, webinar=webinar.id, message=message, attempts=0,
            message_id=f"<{number:032x}@who.int>", due_at=datetime(2025, 7, 1, tzinfo=UTC),
            expires_at=webinar.end, address=f"person-{number}@example.org", name=f"Person {number}",
            language=language, zone=zone, zone_known_by="assumed" if number % 10 == 0 else "timezone",
            join_url="", uid=f"{number:032x}@who.int", first_seen_at=datetime(2025, 6, 1, tzinfo=UTC), revision_id=1,
        )
        for number, (zone, language) in enumerate(crowd.people(mails))
    ]  # fmt: skip


if __name__ == "__main__":
    main()
