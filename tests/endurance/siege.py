"""Everything at once, at random, against two replicas with thousands of mails due.

    python -m tests.endurance.siege                     # thirty minutes, 20,000 deliveries
    python -m tests.endurance.siege --minutes 1 --deliveries 600

Listeners are flooded and fed byte by byte, editors type texts that compute for ever, a session's texts are saved in the
middle of it, hostile rows come by the thousand, the relay's password is rotated, PostgreSQL, PgBouncer and the relay
are restarted, replicas get SIGHUP, are stopped, killed and started again. Half of the mails are confirmations, half are
a reminder that is due for everybody in the middle of it.

Prints how late the mails were, from due to accepted, and what the rounds came to. Exit code 1 when a promise is broken:
a mail lost, one that came more often than the ledger had it in doubt, a replica that is not ready afterwards, a secret
or an address in a log.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scheduler.database.engine import Database
from scheduler.web import accounts
from tests.endtoend.support import free_port
from tests.endtoend.test_pooler import pooler
from tests.endurance.place import Place, Postgres, place, wait_until

USER, FIRST_PASSWORD = "siege", "first password of the relay"
EDITOR_PASSWORD = "four words make one"
ENDS_WITHIN = 60.0  # seconds, for a replica that is told to end: it drains for five
PAUSE = (0.5, 4.0)  # seconds between two events
SEQUENCE = """
[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "reminder-hour"
before_start = "{seconds}s"
"""
HOSTILE = (
    "not an address", "=cmd|' /C calc'!A0", "a@b", "\u202emoc.elpmaxe@x", "x" * 70_000 + "@people.test",
    "'; DROP TABLE delivery; --@people.test", "<script>@people.test", "a\r\nBcc: b@people.test", " ", "@", "é@é.é",
)  # fmt: skip


@dataclass
class Siege:
    """The replicas and what is around them."""

    here: Place
    luck: random.Random
    postgres: Postgres
    environ: dict[str, str]
    editors: dict[int, int]  # ports, by replica
    session: str = ""
    attackers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    registered: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=lambda: [FIRST_PASSWORD])
    events: Counter[str] = field(default_factory=Counter)
    pooler: Callable[[], None] = lambda: None

    def start(self, number: int) -> None:
        """A replica, and whoever attacks it."""
        self.here.start(number, EDITOR_PORT=str(self.editors[number]), **self.environ)
        self.attack(number)

    def attack(self, number: int) -> None:
        self.end_attack(number)
        command = [sys.executable, "-m", "tests.endurance.flood", str(self.here.health[number])]
        session = [self.session, accounts.Editor("", "edit", self.session).csrf] if self.session else []
        self.attackers[number] = subprocess.Popen([*command, str(self.editors[number]), *session])

    def end_attack(self, number: int) -> None:
        if attackers := self.attackers.pop(number, None):
            attackers.kill()
            attackers.wait()

    def register(self, people: int) -> None:
        have = len(self.registered)
        addresses = [f"{have + n:05}@people.test" for n in range(people)]
        self.here.sql(
            "INSERT INTO registrants (webinar, email) VALUES (%s, %s)", [("w", one) for one in addresses]
        )
        self.registered += addresses

    def one_replica(self) -> int:
        return self.luck.choice(sorted(self.here.services))


# What happens, in no order.


def database_restarts(siege: Siege) -> None:
    siege.postgres.stop(siege.luck.choice(("fast", "immediate")))
    time.sleep(siege.luck.uniform(0, 5))
    siege.postgres.start()


def pooler_restarts(siege: Siege) -> None:
    siege.pooler()


def relay_restarts(siege: Siege) -> None:
    siege.here.end_receiver()
    time.sleep(siege.luck.uniform(0, 3))
    siege.here.start_receiver()


def password_rotates(siege: Siege) -> None:
    """First at the relay or first at the service, some seconds apart."""
    siege.passwords.append(f"password {len(siege.passwords)} of the relay")
    folder = siege.here.folder
    steps = [folder / "relay-password", folder / "smtp-password"]
    siege.luck.shuffle(steps)
    for number, file in enumerate(steps):
        fresh = file.with_suffix(".new")
        fresh.write_text(siege.passwords[-1])
        fresh.replace(file)
        time.sleep((1 - number) * siege.luck.uniform(0, 3))


def reloads(siege: Siege) -> None:
    process = siege.here.services[siege.one_replica()]
    if _minds_hangups(process.pid):  # an interpreter that is being loaded does not yet
        process.send_signal(signal.SIGHUP)


def _minds_hangups(pid: int) -> bool:
    """Whether it ignores or catches SIGHUP."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool((int(status["SigIgn"], 16) | int(status["SigCgt"], 16)) & 1)


def stops_for_a_while(siege: Siege) -> None:
    process = siege.here.services[siege.one_replica()]
    process.send_signal(signal.SIGSTOP)
    time.sleep(siege.luck.uniform(1, 20))
    process.send_signal(signal.SIGCONT)


def killed(siege: Siege) -> None:
    number = siege.one_replica()
    siege.here.kill(number)
    time.sleep(siege.luck.uniform(0, 5))
    siege.start(number)


def ended(siege: Siege) -> None:
    number = siege.one_replica()
    siege.here.services[number].terminate()
    siege.here.services.pop(number).wait(ENDS_WITHIN)
    siege.start(number)


def hostile_rows(siege: Siege) -> None:
    rows = [(siege.luck.choice(("w", "no webinar", "")), one, one) for one in HOSTILE * 90]
    statement = "INSERT INTO registrants (webinar, email, name) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    with suppress(Exception):  # some are no row of PostgreSQL's; a connection may break
        siege.here.sql(statement, [row for row in rows if "\0" not in row[1]])


def text_saved(siege: Siege) -> None:
    """By git: sound, or not."""
    file = siege.here.folder / "templates" / "confirmation" / "en.md"
    sound = (Path(__file__).parents[2] / "templates" / "confirmation" / "en.md").read_text()
    more = siege.luck.choice(
        ("\nA word more.\n", "\n{{ no_such_thing }}\n", "\n{% for a in name %}\n", "x" * 100_000)
    )
    file.write_text(sound + more)
    time.sleep(2)
    file.write_text(sound)


EVENTS = (
    database_restarts, pooler_restarts, relay_restarts, password_rotates, reloads, reloads, stops_for_a_while, killed,
    ended, hostile_rows, hostile_rows, text_saved,
)  # fmt: skip


@contextmanager
def besieged(minutes: float, deliveries: int, luck: random.Random, folder: Path) -> Iterator[Siege]:
    """Two replicas that are ready, with attackers at their gates."""
    with ExitStack() as stack:
        here, postgres = stack.enter_context(
            place(folder, "postgresql", luck.randrange(1000), password=FIRST_PASSWORD)
        )
        assert postgres
        postgres.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        lead, middle = timedelta(days=2), timedelta(minutes=minutes / 2, seconds=30)
        start = (datetime.now(UTC) + lead + middle).replace(tzinfo=None, microsecond=0)
        sequence = SEQUENCE.format(seconds=int(lead.total_seconds()))
        here.webinar("w", sequence, on_doubt="resend", start=start, end=start + timedelta(hours=1))
        (folder / "smtp-password").write_text(FIRST_PASSWORD)
        through = stack.enter_context(restartable_pooler(postgres.url))
        environ = {
            "DATABASE_URL": through.url, "DATABASE_DIRECT_URL": postgres.url, "SMTP_CONNECTIONS": "8",
            "SMTP_USERNAME": USER, "SMTP_PASSWORD_FILE": str(folder / "smtp-password"), "SMTP_ALLOW_PLAINTEXT": "yes",
            "EDITOR": "on", "DRAIN_SECONDS": "5",
        }  # fmt: skip
        siege = Siege(here, luck, postgres, environ, {0: free_port(), 1: free_port()}, pooler=through.restart)
        for number in siege.editors:
            siege.start(number)
        stack.callback(lambda: [siege.end_attack(number) for number in siege.editors])
        assert wait_until(lambda: not here.unready(), 120, poll=0.5), here.unready()
        siege.session = _session(siege)
        for number in siege.editors:
            siege.attack(number)
        yield siege


@dataclass
class Pooler:
    """A PgBouncer that can be restarted; PostgreSQL itself where there is none."""

    url: str
    restart: Callable[[], None] = lambda: None


@contextmanager
def restartable_pooler(url: str) -> Iterator[Pooler]:
    if not (shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")):
        print("PgBouncer is not there: without it", file=sys.stderr)
        yield Pooler(url)
        return
    stack = ExitStack()
    listen = free_port()

    def restart() -> None:
        stack.close()
        time.sleep(1)
        stack.enter_context(pooler(url, listen))

    there = Pooler(stack.enter_context(pooler(url, listen)), restart)
    try:
        yield there
    finally:
        stack.close()


def _session(siege: Siege) -> str:
    """Of an editor, whose browser the attackers have taken over."""
    database = Database(siege.postgres.url)
    with database.transaction() as conn:
        accounts.save_account(conn, datetime.now(UTC), "eve@who.int", EDITOR_PASSWORD, "view")
        token = accounts.begin_session(conn, datetime.now(UTC), "eve@who.int")
    database.close()
    return token


def lay_siege(siege: Siege, minutes: float, deliveries: int) -> None:
    """Until the time is over; registrants come all along, most of them early."""
    began, people = time.monotonic(), deliveries // 2
    siege.register(people // 2)
    end = began + 60 * minutes
    while time.monotonic() < end:
        event = siege.luck.choice(EVENTS)
        siege.events[event.__name__] += 1
        event(siege)
        wanted = people // 2 + int(people / 2 * min(1.0, (time.monotonic() - began) / (24 * minutes)))
        with suppress(Exception):  # the database is gone: next time
            siege.register(max(0, wanted - len(siege.registered)))
        time.sleep(siege.luck.uniform(*PAUSE))


def unsettled(siege: Siege) -> str:
    """What is left to be done, in words; "" once every mail has its outcome and the replicas are ready."""
    states = dict(siege.here.sql("SELECT state, count(*) FROM delivery GROUP BY state"))
    left = [f"{states[one]} {one}" for one in ("pending", "sending", "in_doubt") if one in states]
    if missing := max(0, 2 * len(siege.registered) - sum(states.values())):
        left.append(f"{missing} not planned")
    return "; ".join([*left, *siege.here.unready()])


def judge(siege: Siege) -> list[str]:
    """The promises that were broken."""
    taken = siege.here.taken()
    copies = Counter((mail.recipient, mail.message_id) for mail in taken)
    doubts = Counter(
        (address, message_id)
        for address, message_id in siege.here.sql(
            "SELECT a.address, d.message_id FROM attempt a JOIN delivery d ON d.id = a.delivery_id"
            " WHERE a.outcome = 'in_doubt'"
        )
    )
    lost = _lost(siege, set(copies))
    double = [
        one for one, many in copies.items() if many - 1 > doubts[one] and one[0] in set(siege.registered)
    ]
    logs = "".join(siege.here.log(number).read_text(errors="replace") for number in siege.editors)
    told = [one for one in (*siege.passwords, EDITOR_PASSWORD, "@people.test", "Traceback") if one in logs]
    again = sum(many - 1 for many in copies.values() if many > 1)
    print(f"\n{len(taken)} mails, {again} of them again after a doubt; {len(logs) // 1000} kB of log")
    print("; ".join(f"{name.replace('_', ' ')} {many}" for name, many in sorted(siege.events.items())))
    found = {"lost": len(lost), "double without doubt": len(double), "not ready": "; ".join(siege.here.unready()),
             "in a log": "; ".join(told)}  # fmt: skip
    return [f"{words}: {what}" for words, what in found.items() if what]


def _lost(siege: Siege, taken: set[tuple[str, str]]) -> list[str]:
    """Who did not get a mail: all are due a confirmation, and a reminder unless they came too late for it."""
    rows = siege.here.sql(
        "SELECT r.address, d.message_id, d.state FROM delivery d JOIN registration r ON r.id = d.registration_id"
    )
    ours = set(siege.registered)  # some hostile addresses can have mail, too; it is theirs whether it arrives
    owed = Counter(address for address, _, _ in rows)
    lost = [
        address
        for address, message_id, state in rows
        if address in ours and state != "skipped" and (address, message_id) not in taken
    ]
    return [*lost, *(one for one in siege.registered if owed[one] < 2)]


def lateness(siege: Siege) -> None:
    """A table, from when each mail was due to when the relay had accepted it."""
    rows = siege.here.sql(
        "SELECT r.address, d.message_id, d.message, coalesce(d.due_at, d.next_attempt_at) FROM delivery d"
        " JOIN registration r ON r.id = d.registration_id WHERE d.state = 'sent'"
    )
    due = {(address, message_id): (message, at) for address, message_id, message, at in rows}
    waits: dict[str, list[float]] = {}
    for mail in siege.here.taken():
        if found := due.pop((mail.recipient, mail.message_id), None):
            waits.setdefault(found[0], []).append(mail.at - found[1].timestamp())
    print(
        "| message | mails | median | 90th percentile | 99th percentile | longest |\n|---|---|---|---|---|---|"
    )
    for message, late in sorted(waits.items()):
        cuts = statistics.quantiles(late, n=100)
        print(
            f"| {message} | {len(late)} | {cuts[49]:.1f} s | {cuts[89]:.1f} s | {cuts[98]:.1f} s | {max(late):.1f} s |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--deliveries", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--patience", type=float, default=600, help="seconds after it until all must be settled"
    )
    parser.add_argument("--keep", type=Path, help="a folder for the logs where a promise was broken")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", file=sys.stderr)
    with (
        tempfile.TemporaryDirectory(prefix="siege-", ignore_cleanup_errors=True) as name,
        besieged(asked.minutes, asked.deliveries, random.Random(asked.seed), Path(name)) as siege,
    ):
        lay_siege(siege, asked.minutes, asked.deliveries)
        ended = time.monotonic()
        wait_until(lambda: not unsettled(siege), asked.patience, poll=1)
        print(f"{time.monotonic() - ended:.0f} s after the siege: {unsettled(siege) or 'all settled'}\n")
        lateness(siege)
        broken = judge(siege)
        if broken and asked.keep:
            asked.keep.mkdir(parents=True, exist_ok=True)
            for number in siege.editors:
                shutil.copy(siege.here.log(number), asked.keep)
    print(*broken, sep="\n")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
