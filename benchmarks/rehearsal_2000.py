"""How long a rehearsal of 2,000 registrants over 400 zones takes, and how much memory.

    .venv/bin/python benchmarks/rehearsal_2000.py [REGISTRANTS]

The trilateral webinar, through real SMTP into files, as `webinar rehearse` does it; the process is measured from
outside, its start included.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytz

ROOT = Path(__file__).parent.parent
ZONES = 400
ANNOUNCED = datetime(2025, 6, 12, 7, tzinfo=UTC)
OPEN = timedelta(days=21)  # over which people register, a few minutes apart
LANGUAGES = ("en", "fr", "es", "ar", "zh", "ru")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        folder = Path(temporary)
        zones = write_registrants(folder / "people.csv", count)
        seconds = rehearse(folder / "people.csv", folder / "out")
        deliveries = json.loads((folder / "out" / "deliveries.json").read_text("utf-8"))
        mails = list((folder / "out" / "mails").glob("*.eml"))
        size = sum(mail.stat().st_size for mail in mails)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    states = Counter(one["state"] for one in deliveries)
    assert states["sent"] == len(mails)
    assert len({one["email"] for one in deliveries}) == count
    figures = {
        "registrants": f"{count:,}",
        "zones": str(zones),
        "mails received": f"{len(mails):,} ({size / 1e6:,.0f} MB)",
        "not sent": ", ".join(f"{n:,} {state}" for state, n in states.items() if state != "sent") or "none",
        "time": f"{seconds:.1f} s ({len(mails) / seconds:,.0f} mails a second)",
        "processor": f"{used.ru_utime + used.ru_stime:.1f} s",
        "peak memory": f"{used.ru_maxrss / 1024:,.0f} MiB",
        "machine": f"{os.cpu_count()} cores, {memory_gib():.0f} GiB, Python {sys.version.split()[0]}",
    }
    for name, figure in figures.items():
        print(f"{name:16}{figure}")


def write_registrants(file: Path, count: int) -> int:
    """Invented people, each in the next of 400 zones; returns over how many zones they are."""
    zones = pytz.common_timezones[:ZONES]
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["email", "name", "language", "timezone", "registered_at"])
        for number in range(count):
            at = ANNOUNCED + OPEN * number / count
            language = LANGUAGES[number % len(LANGUAGES)]
            person = (f"person-{number}@example.org", f"Person {number}", language, zones[number % ZONES])
            writer.writerow([*person, at.isoformat(timespec="seconds")])
    return min(count, ZONES)


def rehearse(people: Path, out: Path) -> float:
    """Seconds from start to end of `webinar rehearse`. CalledProcessError when it isn't exit 0."""
    command: list[str | Path] = [
        Path(sys.executable).with_name("webinar"),
        "rehearse",
        "--registrants",
        people,
        "--out",
        out,
        "--json",
    ]
    begin = time.monotonic()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begin


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


if __name__ == "__main__":
    main()
