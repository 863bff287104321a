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
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.endurance.place import Place, place, wait_until

CONNECTIONS = 4
IN_FLIGHT = 8  # mails on one connection, as the README promises
MOMENT = 1.0  # seconds
ENVIRON = {"POLL_SECONDS": "0.1", "SMTP_CONNECTIONS": str(CONNECTIONS), "LOG_LEVEL": "error"}
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


def on_the_wire(here: Place) -> dict[str, dict[str, int]]:
    """Deliveries whose mail may be on the wire, by the service that sends them and webinar."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    rows = here.sql(
        "SELECT substr(lease_token, 1, 8), webinar, count(*) FROM delivery WHERE state = 'sending' GROUP BY 1, 2"
    )
    for holder, webinar, many in rows:
        found[holder][webinar] = many
    return found


def unsettled(here: Place) -> int:
    (row,) = here.sql(
        "SELECT (SELECT count(*) FROM delivery WHERE state IN ('pending', 'sending', 'in_doubt')),"
        " (SELECT count(*) FROM registrant_change)"
    )
    return int(row[0] + row[1])


def one_round(here: Place, luck: random.Random, number: int, people: int, seen: Seen) -> None:
    """A burst, and a kill at some moment of it."""
    rows = [(("resend", "hold")[n % 2], f"{number:04}-{n:03}@people.test") for n in range(people)]
    here.sql("INSERT INTO registrants (webinar, email) VALUES (%s, %s)", rows)
    if luck.random() < 0.2:
        time.sleep(luck.uniform(0, 4 * MOMENT))
    else:
        before = here.accepted()
        wait_until(lambda: here.accepted() != before, 30, poll=0.005)
        time.sleep(luck.uniform(0, MOMENT))
    victims = luck.sample(sorted(here.services), luck.randint(1, len(here.services)))
    for victim in victims:
        here.kill(victim)
    if not here.services:  # nobody is left who goes on
        wires = on_the_wire(here)
        seen.kills_in_a_burst += bool(wires)
        for by_webinar in wires.values():
            seen.most_in_doubt = max(seen.most_in_doubt, sum(by_webinar.values()))
            seen.most_in_doubt_under_hold = max(seen.most_in_doubt_under_hold, by_webinar.get("hold", 0))
    for victim in victims:
        here.start(victim, **ENVIRON)
    seen.rounds, seen.kills = seen.rounds + 1, seen.kills + len(victims)


def settle(here: Place, patience: float = 300) -> None:
    """Wait until every delivery has its outcome, for as long as some come in."""
    left = unsettled(here)
    while left:
        before = left
        if not wait_until(lambda before=before: unsettled(here) < before, patience, poll=0.2):
            raise SystemExit(f"{left} deliveries have no outcome, and none has had one for {patience:.0f} s")
        left = unsettled(here)


def verdict(here: Place, seen: Seen) -> tuple[dict[str, object], list[str]]:
    """The table, and the promises that were broken."""
    taken: dict[str, list[float]] = defaultdict(list)
    accepted = here.taken()
    for mail in accepted:
        taken[mail.message_id].append(mail.at)
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
        seen.kills_in_a_burst, "planned": len(deliveries), "accepted": len(accepted),
        "in doubt": sum(map(len, doubts.values())), "held for doubt": held,
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


def endure(
    folder: Path, engine: str, rounds: int, people: int, seed: int
) -> tuple[dict[str, object], list[str]]:
    """All rounds. Returns the table, and the promises that were broken."""
    luck, seen = random.Random(seed), Seen()
    with place(folder, engine, seed) as (here, _):
        for policy in ("resend", "hold"):
            here.webinar(policy, SEQUENCE, on_doubt=policy)
        for number in range(2 if engine == "postgresql" else 1):
            here.start(number, **ENVIRON)
        if not wait_until(lambda: not here.unready(), 60):
            raise SystemExit(f"no service has started within a minute: {here.unready()}")
        for number in range(rounds):
            one_round(here, luck, number, people, seen)
            if sys.stdout.isatty():
                print(f"\r{number + 1} of {rounds}", end="", flush=True)
        settle(here)
        return verdict(here, seen)


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
