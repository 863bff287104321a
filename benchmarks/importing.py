"""What `webinar import` costs: a file as registration systems export it, into both engines, and with --dry-run.

    python -m benchmarks.importing [--quick]

Beside it, in the same round: the same file by csv.DictReader and executemany into a table of SQLite, which is what a
script of ten lines does, and checks nothing. Each runs as a process of its own; time is that of its processor.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.service import WEBINAR, databases, write_webinar
from scheduler.database.engine import Database

HEADER = (
    "First Name", "Last Name", "Email", "Country/Region", "Time Zone", "Language", "Registration Time",
    "Approval Status", "Job Title", "Questions & Comments",
)  # fmt: skip
FIRST = (
    "Ana", "Bo", "Amal", "张伟", "Иван", "José", "Anna-Lena", "O'Neil", "Fatou", "Søren", "Zoë", "Nguyễn", "محمد",
)  # fmt: skip
LAST = (
    "Ruiz", "Berg", "Okafor", "García", "李", "Петров", "Dupont", "van der Berg", "Müller", "Sánchez Díaz", "Haddad",
)  # fmt: skip
COUNTRIES = (
    "Switzerland", "France", "Côte d’Ivoire", "Korea, Republic of", "United States", "Brasil", "Deutschland",
    "Viet Nam", "Kenya", "Egypt", "Россия", "中国", "India", "Mexico", "United Kingdom", "Fiji",
)  # fmt: skip
ZONES = (
    "(GMT+1:00) Amsterdam, Berlin, Rome, Stockholm, Vienna", "Europe/Zurich", "Asia/Kolkata (IST)", "Africa/Abidjan",
    "Pacific Time (US & Canada)", "(GMT-3:00) Brasilia", "Asia/Seoul", "UTC+5:30", "America/Mexico_City", "",
    "W. Europe Standard Time", "Asia/Shanghai", "(UTC+03:00) Nairobi", "Pacific/Fiji",
)  # fmt: skip
LANGUAGES = ("English", "Français", "es", "العربية", "中文", "ru", "", "Deutsch", "en-GB")
STATUSES = ("approved",) * 18 + ("denied", "pending approval")
TITLES = ("Pharmacist", "Advisor, procurement", "Director", "", "Researcher; lecturer", 'The "desk"')
COMMENTS = ("", "", "Looking forward!", "Will there be a recording,\nand where?", "Merci d’avance, à bientôt")
SCRIPT = """
import csv, sqlite3, sys
names = {header}
with open(sys.argv[1], encoding="utf-8", newline="") as file, sqlite3.connect(sys.argv[2]) as db:
    marks = ", ".join("?" for _ in names)
    db.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, " + ", ".join(f'"{{one}}" TEXT' for one in names) + ")")
    db.execute('CREATE UNIQUE INDEX one ON people (lower("Email"))')
    rows = ([row[one] for one in names] for row in csv.DictReader(file))
    db.executemany(f"INSERT INTO people VALUES (NULL, {{marks}}) ON CONFLICT DO NOTHING", rows)
"""


def write_people(path: Path, people: int) -> None:
    """A file of invented people with many names, zones, countries and languages; the same each time."""
    dice, began = random.Random(16), datetime(2025, 5, 1, 8, 0, tzinfo=UTC)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(people):
            first, last = dice.choice(FIRST), dice.choice(LAST)
            domain = f"{dice.choice(('ministry', 'hospital', 'example', 'uni'))}-{dice.randrange(3000)}.org"
            registered = (began + timedelta(seconds=15 * number)).strftime("%Y-%m-%d %H:%M:%S")
            row = (
                first, last, f"person.{number}@{domain}", dice.choice(COUNTRIES), dice.choice(ZONES),
                dice.choice(LANGUAGES), registered, dice.choice(STATUSES), dice.choice(TITLES), dice.choice(COMMENTS),
            )  # fmt: skip
            writer.writerow(row)


def cost(command: list[str], environment: dict[str, str] | None = None) -> tuple[float, float]:
    """Seconds of processor time, and the peak of memory in MB. Exit code 1 is that of rows left out."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            output.seek(0)
            raise RuntimeError(output.read().decode()[-2000:])
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def measure(people: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, databases("postgresql") as new:
        folder = Path(name)
        write_webinar(folder)
        file = folder / "people.csv"
        write_people(file, people)
        results: dict[str, list[tuple[float, float, float]]] = {}
        for number in range(rounds):
            script = [
                sys.executable,
                "-c",
                SCRIPT.format(header=HEADER),
                str(file),
                str(folder / f"{number}.db"),
            ]
            plain = cost(script)
            found = {"csv.DictReader and executemany": plain}
            urls = {"SQLite": f"sqlite:///{folder}/webinar-{number}.db", "PostgreSQL": new().url}
            found["--dry-run"] = cost(*_import(folder, file, urls["SQLite"], "--dry-run"))
            for engine, url in urls.items():
                Database(url.replace("postgresql://", "postgresql+psycopg://")).migrate()
                found[engine] = cost(*_import(folder, file, url))
                found[f"{engine}, the same file again"] = cost(*_import(folder, file, url))
            for what, (seconds, memory) in found.items():
                results.setdefault(what, []).append((seconds, seconds / plain[0], memory))
        print("| | processor | times the script | peak memory |\n|---|---|---|---|")
        for what, measured in results.items():
            seconds, ratio, memory = (statistics.median(column) for column in zip(*measured, strict=True))
            print(f"| {what} | {seconds:.1f} s | {ratio:.1f} | {memory:.0f} MB |", flush=True)


def _import(folder: Path, file: Path, url: str, *options: str) -> tuple[list[str], dict[str, str]]:
    environment = {
        "DATABASE_URL": url, "CONFIG_DIR": str(folder / "config"), "TEMPLATES_DIR": str(folder / "templates"),
        "PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }  # fmt: skip
    return [str(WEBINAR), "import", str(file), "--webinar", "w", *options], environment


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rows: does it run?")
    chosen = parser.parse_args()
    measure(*((200, 1) if chosen.quick else (200_000, 3)))


if __name__ == "__main__":
    main()
