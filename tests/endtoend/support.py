"""The service as its surroundings see it: a process, its environment, folders, a database, a relay.

Nothing here imports the service's own engine: rows go in and are read by plain SQL, mails are what a real SMTP
server accepted (STARTTLS and AUTH), readiness is what the health port answers.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import socket
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import psycopg
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.smtp_server import HOST, MailServer, ca_file
from tests.support import copy_texts, toml

USER, PASSWORD = "webinar@relay.test", "Wo7-relay-secret"
ORGANIZER = "organizer@who.int"
PEOPLE = "people.test"  # the domain of every registrant
NAME = "Registrantname"  # in every registrant's name
SUBJECTS = {"You are registered": "confirmation", "Starts": "reminder-day", "We start": "reminder-hour",
            "Thank you": "follow-up"}  # fmt: skip
WEBINAR = Path(sys.executable).with_name("webinar")
HASTY = str(Path(__file__).parents[1] / "hasty_watch")
CONFIRMATION_ONLY = '[[messages]]\nid = "confirmation"\non_registration = true\n'


def on_the_real_clock(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Lets pytest run an async test, which has a minute and a half at most; what it waits for has less."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def limited() -> None:
            async with asyncio.timeout(90):
                await test(*args, **kwargs)

        asyncio.run(limited())

    return run


async def until(condition: Callable[[], Any], what: str, within: float = 25.0) -> Any:
    """What `condition` returns, once it is true; it may be a coroutine. AssertionError after `within` seconds."""
    end = time.monotonic() + within
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Arrival:
    """A mail that the relay accepted, or was about to: it has the whole of it."""

    at: datetime
    to: str
    subject: str
    mail: EmailMessage
    secured: bool
    user: str

    @property
    def message(self) -> str:
        """The message of the sequence, told by its subject; "" for a mail to an organizer."""
        return next((name for start, name in SUBJECTS.items() if self.subject.startswith(start)), "")


class Relay(MailServer):
    """A relay with STARTTLS and AUTH that notes when each mail came, and can keep its replies back."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(tls="starttls", users={USER: PASSWORD})
        self.arrivals: list[Arrival] = []
        self.begun = 0  # mails, by MAIL FROM
        self.unanswered = 0  # mails whose reply is kept back
        self.answering = asyncio.Event()  # after the content
        self.answering.set()
        self._port = port

    async def _listen(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(self._protocol, HOST, self._port)

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.begun += 1
        return await super().handle_MAIL(server, session, envelope, address, options)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        reply = await super().handle_DATA(server, session, envelope)
        received = self.mails[-1]
        mail = message_from_bytes(received.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.arrivals.append(
            Arrival(datetime.now(UTC), received.recipients[0], str(mail["Subject"]), mail,
                    received.secured, received.user)
        )  # fmt: skip
        self.unanswered += 1
        try:
            await self.answering.wait()
        finally:
            self.unanswered -= 1
        return reply

    def of(self, message: str) -> list[Arrival]:
        return [one for one in self.arrivals if one.message == message]

    def to(self, address: str) -> list[Arrival]:
        return [one for one in self.arrivals if one.to == address]

    @property
    def told(self) -> list[str]:
        """The subjects of the mails to the organizer, in their order."""
        return [one.subject for one in self.to(ORGANIZER)]

    async def took(self, mails: int) -> None:
        """Wait until it has so many."""
        await until(lambda: len(self.arrivals) >= mails, f"{mails} mails")

    def counts(self) -> Counter[tuple[str, str]]:
        """How often each (address, message) arrived."""
        return Counter((one.to, one.message) for one in self.arrivals)


class Sql:
    """The database as another program sees it: plain SQL, with %s for values."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_postgresql = url.startswith("postgresql")

    def __call__(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(self._connect()) as conn:
            cursor = conn.execute(self._own(statement), values)
            rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            conn.commit()
            return rows

    def many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """All rows in one transaction."""
        with closing(self._connect()) as conn:
            conn.cursor().executemany(self._own(statement), list(rows))
            conn.commit()

    def _own(self, statement: str) -> str:
        return statement if self.is_postgresql else statement.replace("%s", "?")

    def _connect(self) -> Any:
        if self.is_postgresql:
            return psycopg.connect(self.url.replace("postgresql+psycopg", "postgresql"))
        return sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=30)

    def register(self, addresses: Iterable[str], webinar: str = "w") -> None:
        """As a registration system does: one transaction of INSERTs."""
        rows = ((webinar, address, f"{NAME} {address[:3]}") for address in addresses)
        self.many("INSERT INTO registrants (webinar, email, name) VALUES (%s, %s, %s)", rows)

    @contextmanager
    def nobody_writes(self) -> Iterator[None]:
        """On SQLite the lock of the only writer: a process that is stopped while it has it locks everybody else out."""
        with closing(self._connect()) as conn:
            if not self.is_postgresql:
                conn.execute("BEGIN IMMEDIATE")
            yield
            conn.rollback()

    def states(self) -> Counter[str]:
        return Counter(state for (state,) in self("SELECT state FROM delivery"))

    def in_doubt(self) -> Counter[tuple[str, str]]:
        """How many attempts of each (address, message) the ledger had in doubt."""
        rows = self(
            "SELECT a.address, d.message FROM attempt a JOIN delivery d ON d.id = a.delivery_id"
            " WHERE a.outcome = 'in_doubt'"
        )
        return Counter((address, message) for address, message in rows)

    @contextmanager
    def autocommit(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as conn:
            yield conn

    def drop_connections(self) -> None:
        """Of everybody else, as a restart of PostgreSQL does."""
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        self(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")


class Process:
    """One `webinar run`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process, self.port, self._log = process, port, log

    @property
    def pid(self) -> int:
        return self._process.pid

    async def exited(self) -> int:
        async with asyncio.timeout(25):
            return await self._process.wait()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    @property
    def could_not_begin(self) -> bool:
        """It says so in plain lines, to whoever started it."""
        return self._process.returncode == 2

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def log(self) -> Path:
        return self._log

    @property
    def stderr(self) -> str:
        return self._log.read_text(encoding="utf-8")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stderr.splitlines()]

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of the health port; status 0: nobody listens."""

        def ask() -> tuple[int, Any]:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=10) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)
            except OSError:
                return 0, None

        return await asyncio.to_thread(ask)

    async def ready(self) -> None:
        """Wait until nothing is wrong."""
        await until(self._is_ready, "ready")

    async def _is_ready(self) -> bool:
        assert self._process.returncode is None, self.stderr
        return (await self.get("/readyz"))[0] == 200

    async def unready(self, words: str) -> str:
        """Wait for a reason with these words in it; returns that reason."""

        async def reason() -> str:
            status, body = await self.get("/readyz")
            found = [one for one in body["reasons"] if words in one] if body else []
            assert not found or status == 503
            return found[0] if found else ""

        return str(await until(reason, f"unready: {words}"))

    async def noted(self, words: str) -> str:
        """Wait for a note with these words in it; returns that note."""

        async def note() -> str:
            _, body = await self.get("/readyz")
            found = [one for one in body["notes"] if words in one] if body else []
            return found[0] if found else ""

        return str(await until(note, f"noted: {words}"))


class Scene:
    """Folders, a database and a relay around services."""

    def __init__(self, folder: Path, database_url: str, relay: Relay, port: int) -> None:
        self.folder, self.relay, self.sql = folder, relay, Sql(database_url)
        self._smtp_port = port
        self.processes: list[Process] = []
        self.config, self.templates = folder / "config", folder / "templates"
        (self.config / "webinars").mkdir(parents=True)
        copy_texts(self.templates, "en")

    def webinar(self, name: str = "w", sequence: str = CONFIRMATION_ONLY, **changed: Any) -> Path:
        """A webinar's file, edited as an editor does it: a new file takes the old one's place.

        It is tomorrow, unless `start` (UTC) says otherwise; its zone has no daylight saving time to trip over.
        """
        start = changed.pop("start", datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
        end = changed.pop("end", start + timedelta(hours=2)).replace(microsecond=0)
        nairobi = timedelta(hours=3)
        wall = {"start": (start + nairobi).replace(tzinfo=None), "end": (end + nairobi).replace(tzinfo=None)}
        keys = {"id": name, "zone": "Africa/Nairobi", "languages": ["en"]} | wall | changed
        return self.write(self.config / "webinars" / f"{name}.toml", toml(sequence, **keys))

    @staticmethod
    def write(path: Path, text: str) -> Path:
        fresh = path.with_name(f"{path.name}~")
        fresh.write_text(text, encoding="utf-8")
        return fresh.replace(path)

    async def run(self, **environment: str) -> Process:
        """Start `webinar run`; `environment` on top of what it needs. With others on one database they judge each other
        within seconds."""
        port = int(environment.pop("HEALTH_PORT", 0)) or free_port()
        log = self.folder / f"stderr-{len(self.processes) + 1}"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                WEBINAR, "run", env=self._environment(port, environment), cwd=self.folder, stderr=stderr
            )
        self.processes.append(Process(process, port, log))
        return self.processes[-1]

    async def command(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run another command of `webinar`, as an operator does beside the service. Returns its exit code, and all that
        it printed."""
        process = await asyncio.create_subprocess_exec(
            WEBINAR, *arguments, env=self._environment(0, environment), cwd=self.folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await process.communicate()
        return process.returncode or 0, printed.decode()

    def _environment(self, port: int, environment: dict[str, str]) -> dict[str, str]:
        paths = [environment.pop("PYTHONPATH", HASTY), os.environ.get("PYTHONPATH", "")]
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "DATABASE_URL": self.sql.url,
            "CONFIG_DIR": str(self.config),
            "TEMPLATES_DIR": str(self.templates),
            "SMTP_HOST": HOST,
            "SMTP_PORT": str(self._smtp_port),
            "SMTP_CA_FILE": ca_file(),
            "SMTP_USERNAME": USER,
            "SMTP_PASSWORD": PASSWORD,
            "HEALTH_HOST": HOST,
            "HEALTH_PORT": str(port),
            "POLL_SECONDS": "0.2",
            "EDITOR": "off",
        } | environment

    def doubled(self) -> set[tuple[str, str]]:
        """Each (address, message) that came more than once, which the ledger must have had in doubt as often."""
        copies = self.relay.counts()
        more = copies - Counter(copies.keys())
        assert not more - self.sql.in_doubt(), "a mail came more often than the ledger says"
        return set(more)

    def check_logs(self) -> None:
        """Each line is one JSON object; nothing about a registrant, no secret, no traceback."""
        for process in self.processes:
            assert process.could_not_begin or process.events
            for secret in (PEOPLE, NAME, PASSWORD, "Traceback"):
                assert secret not in process.stderr


@asynccontextmanager
async def scene(folder: Path, database_url: str, *, relay_is_up: bool = True) -> AsyncIterator[Scene]:
    """A scene, whose services are killed at its end, and whose logs are then looked through."""
    relay = Relay(free_port())
    there = Scene(folder, database_url, relay, relay._port)
    try:
        if relay_is_up:
            async with relay:
                yield there
        else:
            yield there
    finally:
        for process in there.processes:
            await process.kill()
    there.check_logs()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])


def people(count: int) -> list[str]:
    return [f"{number:03}@{PEOPLE}" for number in range(count)]
