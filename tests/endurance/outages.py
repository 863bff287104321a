"""Takes the database, a replica or a host away in the middle of a burst, and compares what a receiver took with who
registered.

    python -m tests.endurance.outages                                   # every fault, as often as it says
    python -m tests.endurance.outages --only restart-15 locked --runs 2 --jobs 4

Each run has a database, services and a receiver of its own, which answers a mail three seconds after its content, so
that many mails are on the wire when the fault begins. Only what others can see is used: files, the environment, SQL on
`registrants`, `delivery` and `attempt`, SMTP, signals, /readyz. Exit code 1 when a promise is broken: a mail lost, one
that came more often than the ledger had it in doubt, one without an outcome, a service that ended or is not ready
minutes after the fault.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Thread

import psycopg

from tests.endurance.place import HOST, Place, Postgres, place, wait_until

ANSWER_AFTER = 3.0  # seconds from a mail's content to the receiver's reply
PATIENCE = 420.0  # seconds after a fault until all is settled: leases of two minutes, and their mails again
QUIET = 3 * ANSWER_AFTER  # seconds without a mail, after which none is expected
ENVIRON = {"SMTP_CONNECTIONS": "4", "LOG_LEVEL": "warning"}
CONFIRMATION = '[[messages]]\nid = "confirmation"\non_registration = true\n'
SERVICE_SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


class Way:
    """A TCP port that leads to PostgreSQL until it is closed, or silently drops everything."""

    def __init__(self, target: str) -> None:
        """`target`: PostgreSQL's Unix socket."""
        self._target, self._silent = target, False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"postgresql://postgres:@{HOST}:{self._port}/postgres"

    def open(self) -> None:
        self._listening = socket.create_server((HOST, self._port))
        self._port = self._listening.getsockname()[1]
        Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on, and end those that are open."""
        for one in (self._listening, *(end for pair in self._pairs for end in pair)):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._pairs.clear()

    def fall_silent(self) -> None:
        """Drop what comes from either side, the end of a connection included."""
        self._silent = True

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.socket(socket.AF_UNIX)
                with suppress(OSError):
                    far.connect(self._target)
                self._pairs.append((near, far))
                for source, sink in ((near, far), (far, near)):
                    Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                if not self._silent:
                    sink.sendall(data)
        if not self._silent:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)


@dataclass
class Burst:
    """What a fault meets: services in the middle of a burst."""

    place: Place
    luck: random.Random
    postgres: Postgres | None
    ways: dict[int, Way] = field(default_factory=dict)  # of each service to the database
    registered: list[str] = field(default_factory=list)

    @property
    def database(self) -> Postgres:
        assert self.postgres, "this fault is PostgreSQL's"
        return self.postgres

    def register(self, people: int) -> None:
        """In one transaction."""
        have = len(self.registered)
        addresses = [f"{have + n:05}@people.test" for n in range(people)]
        rows = [("w", address) for address in addresses]
        self.place.sql("INSERT INTO registrants (webinar, email) VALUES (%s, %s)", rows)
        self.registered += addresses

    def one_service(self) -> int:
        return self.luck.choice(sorted(self.place.services))


# The faults. Each function brings one about and, unless nothing can, puts an end to it.


def restarted(burst: Burst, seconds: float) -> None:
    burst.database.stop(burst.luck.choice(("fast", "immediate")))
    time.sleep(seconds)
    burst.database.start()


def read_only(burst: Burst, seconds: float) -> None:
    """As in a failover: connections break, and lead to a standby, which is promoted after a while."""
    reload = "SELECT pg_reload_conf()"
    burst.database.execute("ALTER SYSTEM SET default_transaction_read_only = on", reload)
    burst.database.execute(f"SELECT pg_terminate_backend(pid) FROM ({SERVICE_SESSIONS}) s")
    time.sleep(seconds)
    burst.database.execute("ALTER SYSTEM RESET default_transaction_read_only", reload)


def session_ended(burst: Burst, _: float) -> None:
    pid = burst.luck.choice(burst.place.sql(SERVICE_SESSIONS))
    burst.place.sql("SELECT pg_terminate_backend(%s)", [pid])


def locked(burst: Burst, seconds: float) -> None:
    other = sqlite3.connect(burst.place.folder / "webinar.db", timeout=60, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    other.execute("ROLLBACK")
    other.close()


def ways_closed(burst: Burst, seconds: float) -> None:
    _closed(burst.ways.values(), seconds)


def one_way_closed(burst: Burst, seconds: float) -> None:
    _closed([burst.ways[burst.one_service()]], seconds)


def _closed(ways: Iterable[Way], seconds: float) -> None:
    for way in ways:
        way.close()
    time.sleep(seconds)
    for way in ways:
        way.open()


def planning_waits(burst: Burst, seconds: float) -> None:
    """Planning has more people to write down, and does not get to: its transaction is open all the time."""
    with psycopg.connect(burst.database.url) as other:
        other.execute("LOCK TABLE registration IN SHARE ROW EXCLUSIVE MODE")
        burst.register(20)
        time.sleep(seconds)


def stopped(burst: Burst, seconds: float) -> None:
    process = burst.place.services[burst.one_service()]
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def host_lost(burst: Burst, seconds: float) -> None:
    lost = burst.one_service()
    burst.ways[lost].fall_silent()
    time.sleep(seconds)
    burst.place.kill(lost)


@dataclass(frozen=True)
class Fault:
    """What happens, to whom, and how often that is tried."""

    happens: Callable[[Burst, float], None]
    seconds: float = 0
    people: int = 100  # for each service; most of their mails are still to be sent when it begins
    services: tuple[int, ...] = (1, 2)  # run by run
    runs: int = 20
    engine: str = "postgresql"
    variable: str = ""  # leads to the database by a way of each service's own


DIRECT = "DATABASE_DIRECT_URL"
FAULTS = {
    "restart-15": Fault(restarted, 15),
    "restart-20": Fault(restarted, 20),
    "restart-60": Fault(restarted, 60, runs=3),
    "read-only": Fault(read_only, 8),
    "session-ended": Fault(session_ended),
    "locked": Fault(locked, 135, people=200, engine="sqlite", services=(1,), runs=3),
    "direct-closed": Fault(ways_closed, 45, people=300, variable=DIRECT),
    "direct-closed-to-one": Fault(one_way_closed, 45, people=300, services=(2,), variable=DIRECT),
    "planning": Fault(planning_waits, 125, people=600, services=(2,), runs=3),
    "stopped": Fault(stopped, 180, people=600, services=(2,), runs=3),
    "host-lost": Fault(host_lost, 5, people=300, services=(2,), runs=3, variable="DATABASE_URL"),
}


@dataclass
class Outcome:
    """What one run came to. The addresses are invented."""

    fault: str
    run: int
    services: int = 0
    planned: int = 0
    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    without_doubt: list[str] = field(default_factory=list)
    in_doubt: int = 0
    unsettled: int = 0
    unready: list[str] = field(default_factory=list)
    mails: list[int] = field(default_factory=list)  # taken until the fault began, until it ended, in all
    seconds: int = 0
    error: str = ""  # of the run itself

    @property
    def broken(self) -> list[str]:
        """The promises that were."""
        found = {
            "lost": len(self.lost), "double without doubt": len(self.without_doubt), "without an outcome":
            self.unsettled, "not ready": "; ".join(self.unready), "the run failed": self.error,
        }  # fmt: skip
        return [f"{words}: {what}" for words, what in found.items() if what]


def attempt(name: str, number: int, kept: Path | None) -> Outcome:
    """One run of a fault, in folders of its own; the services' logs of a broken one are kept."""
    began, outcome = time.monotonic(), Outcome(name, number)
    with tempfile.TemporaryDirectory(prefix="outage-", ignore_cleanup_errors=True) as folder:
        try:
            run(FAULTS[name], outcome, Path(folder))
        except Exception:
            outcome.error = traceback.format_exc()
        if kept and outcome.broken:
            to = kept / f"{name}-{number}"
            to.mkdir(parents=True, exist_ok=True)
            for file in (*Path(folder).glob("log-*"), *Path(folder).glob("taken")):
                shutil.copy(file, to)
    outcome.seconds = round(time.monotonic() - began)
    return outcome


def run(fault: Fault, outcome: Outcome, folder: Path) -> None:
    luck = random.Random(f"{outcome.fault} {outcome.run}")
    outcome.services = fault.services[outcome.run % len(fault.services)]
    with place(folder, fault.engine, luck.randrange(1000), ANSWER_AFTER) as (here, postgres):
        here.webinar("w", CONFIRMATION, on_doubt="resend")
        burst = Burst(here, luck, postgres)
        if postgres:
            postgres.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        for service in range(outcome.services):
            environ = dict(ENVIRON)
            if fault.variable:
                burst.ways[service] = Way(burst.database.socket)
                environ[fault.variable] = burst.ways[service].url
            here.start(service, **environ)
        if not wait_until(lambda: not here.unready(), PATIENCE, poll=0.5):
            raise TimeoutError(f"not ready before the fault: {here.unready()}")
        burst.register(fault.people * outcome.services)
        wait_until(here.accepted, 30)
        time.sleep(luck.uniform(1, 10))
        outcome.mails.append(len(here.taken()))
        fault.happens(burst, fault.seconds)
        outcome.mails.append(len(here.taken()))
        settle(burst)
        judge(burst, outcome)
        for way in burst.ways.values():
            way.close()


def settle(burst: Burst) -> None:
    """Wait until every mail has its outcome, no more come, and every service is ready; or for a long time."""
    have, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal have, since
        if have != burst.place.accepted() or unsettled(burst):
            have, since = burst.place.accepted(), time.monotonic()
        return time.monotonic() - since > QUIET and not burst.place.unready()

    wait_until(quiet, PATIENCE, poll=1)


def unsettled(burst: Burst) -> int:
    """How many of the mails that are due have no outcome."""
    ((planned, done),) = burst.place.sql(
        "SELECT count(*), coalesce(sum(CASE WHEN state IN ('pending', 'sending', 'in_doubt') THEN 0 ELSE 1 END), 0)"
        " FROM delivery"
    )
    return max(int(planned), len(burst.registered)) - int(done)


def judge(burst: Burst, outcome: Outcome) -> None:
    """Everybody is due one mail. A second one must have been in doubt before, a third twice, and so on."""
    taken = burst.place.taken()
    copies = Counter(mail.recipient for mail in taken)
    doubts = Counter(
        address for (address,) in burst.place.sql("SELECT address FROM attempt WHERE outcome = 'in_doubt'")
    )
    ((outcome.planned,),) = burst.place.sql("SELECT count(*) FROM delivery")
    outcome.lost = [one for one in burst.registered if not copies[one]]
    outcome.double = [one for one in burst.registered if copies[one] > 1]
    outcome.without_doubt = [one for one in outcome.double if copies[one] - 1 > doubts[one]]
    outcome.in_doubt = doubts.total()
    outcome.unsettled = unsettled(burst)
    outcome.unready = burst.place.unready()
    outcome.mails.append(len(taken))


def table(outcomes: Iterable[Outcome]) -> str:
    """What the runs of each fault came to, in Markdown."""
    columns = ("fault", "engine", "runs", "mails planned", "lost", "double", "double without doubt", "in doubt",
               "runs broken")  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for name, fault in FAULTS.items():
        if runs := [one for one in outcomes if one.fault == name]:
            sums = (
                sum(one.planned for one in runs), *(sum(len(found) for found in each) for each in
                zip(*((one.lost, one.double, one.without_doubt) for one in runs), strict=True)),
                sum(one.in_doubt for one in runs), sum(bool(one.broken) for one in runs),
            )  # fmt: skip
            lines.append(f"| {' | '.join(map(str, (name, fault.engine, len(runs), *sums)))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="NAME",
                        help=f"of {', '.join(FAULTS)}")  # fmt: skip
    parser.add_argument(
        "--runs", type=int, help="of each fault (default: 20 of the short ones, 3 of the others)"
    )
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first run, from which chance is drawn"
    )
    parser.add_argument("--jobs", type=int, default=4, help="runs at the same time")
    parser.add_argument("--json", type=Path, help="a file for what each run came to")
    parser.add_argument("--keep", type=Path, help="a folder for the logs of runs that broke a promise")
    asked = parser.parse_args()
    outcomes = []
    with ProcessPoolExecutor(asked.jobs, multiprocessing.get_context("spawn")) as pool:
        begun = [
            pool.submit(attempt, name, asked.first + number, asked.keep)
            for name in asked.only
            for number in range(asked.runs or FAULTS[name].runs)
        ]
        for done in as_completed(begun):
            outcomes.append(one := done.result())
            print(f"{one.fault}, run {one.run}, {one.seconds} s", *one.broken, sep="\n  ", file=sys.stderr)
            if asked.json:
                asked.json.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
    print(table(outcomes))
    sys.exit(1 if any(one.broken for one in outcomes) else 0)


if __name__ == "__main__":
    main()
