"""How soon the first mail is out after a start, and how long `webinar status` and `webinar check` take, by webinars.

    python -m benchmarks.starting [--webinars 1,50,500] [--files 1000] [--code ../before]

Each start is a process of its own on a fresh SQLite database, with one registrant waiting for a confirmation of the
last webinar; then once more, with what the first start has tried. Everything with the shipped texts in English and
French. `--code`: another checkout of this project, to compare with.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from tests.support import SEQUENCE

HERE = Path(__file__).parents[1]
WEBINAR = """\
id = "w{number:04}"
title = "Webinar {number}"
about = "How public buyers can help innovation."
organizers = ["WHO"]
host = "WHO"
held_in = "en"
start = 2037-07-{day:02}T13:00:00
end = 2037-07-{day:02}T15:00:00
zone = "Geneva time"
languages = ["en", "fr"]
join_url = "https://meet.who.int/w"
how_to_join = "Open the link."
sender = "Webinar <webinar@who.int>"
alert_to = "organizer@who.int"
status = "live"
"""


class Inbox:
    """An SMTP server's handler that counts the mails to registrants."""

    def __init__(self) -> None:
        self.mails = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.mails += envelope.rcpt_tos[0].endswith("@people.test")
        return "250 2.0.0 kept"


class Place:
    """A folder with so many webinars, and a database without any registrant."""

    def __init__(self, root: Path, webinars: int, code: Path, port: int) -> None:
        self.root, self.code = root, code
        (root / "config" / "webinars").mkdir(parents=True)
        for number in range(webinars):
            source = WEBINAR.format(number=number, day=1 + number % 28) + SEQUENCE
            (root / "config" / "webinars" / f"{number}.toml").write_text(source, encoding="utf-8")
        for path in (HERE / "templates").glob("*/*"):
            if path.parent.name == "_layout" or path.stem in ("en", "fr"):
                (root / "templates" / path.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, root / "templates" / path.parent.name)
        self.environment = os.environ | {
            "PYTHONPATH": str(code),
            "DATABASE_URL": f"sqlite:///{root / 'webinar.db'}",
            "CONFIG_DIR": str(root / "config"),
            "TEMPLATES_DIR": str(root / "templates"),
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(port),
            "SMTP_TLS": "none",
            "HEALTH_PORT": "0",
            "EDITOR_PORT": "0",
        }

    def call(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from scheduler.cli import main; main()", *arguments]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, env=self.environment, cwd=self.code, stdout=quiet, stderr=quiet)

    def seconds(self, *arguments: str) -> float:
        began = time.monotonic()
        self.call(*arguments).wait()
        return time.monotonic() - began

    def register(self, number: int, address: str) -> None:
        engine = create_engine(self.environment["DATABASE_URL"])
        row = {"webinar": f"w{number:04}", "email": address}
        with engine.begin() as conn:
            conn.execute(text("INSERT INTO registrants (webinar, email) VALUES (:webinar, :email)"), row)
        engine.dispose()

    def verdicts(self) -> int:
        """How many pairs of a text and a webinar have been tried."""
        engine = create_engine(self.environment["DATABASE_URL"])
        try:
            with engine.begin() as conn:
                return int(conn.execute(text("SELECT count(*) FROM verdict")).scalar_one())
        except OperationalError:  # of a program that keeps none
            return 0
        finally:
            engine.dispose()

    def first_mail(self, inbox: Inbox, limit: float, *, tries: bool = False) -> float | None:
        """Seconds from a start to the first mail; None: there is none in time. `tries`: it goes on until it has tried
        everything."""
        before, began = inbox.mails, time.monotonic()
        service = self.call("run")
        try:
            while inbox.mails == before:
                if time.monotonic() - began > limit or service.poll() is not None:
                    return None
                time.sleep(0.01)
            took, tried = time.monotonic() - began, -1
            while tries and tried < (tried := self.verdicts()):
                time.sleep(20)
            return took
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--webinars", default="1,50,500")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--code", type=Path, default=HERE)
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds for which a first mail is waited for"
    )
    chosen = parser.parse_args()
    inbox = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        print("webinars\tfirst mail after a first start\tafter the next start")
        for many in map(int, filter(None, chosen.webinars.split(","))):
            with tempfile.TemporaryDirectory() as folder:
                _starts(Place(Path(folder), many, chosen.code.resolve(), port), many, inbox, chosen.limit)
        if chosen.files:
            with tempfile.TemporaryDirectory() as folder:
                place = Place(Path(folder), chosen.files, chosen.code.resolve(), port)
                _commands(place, chosen.files, inbox, chosen.limit)
    finally:
        controller.stop()


def _starts(place: Place, many: int, inbox: Inbox, limit: float) -> None:
    found = []
    _make_database(place)
    for address in ("first@people.test", "next@people.test"):
        place.register(many - 1, address)
        found.append(place.first_mail(inbox, limit))
    print(many, *("none" if one is None else f"{one:.1f} s" for one in found), sep="\t")


def _commands(place: Place, files: int, inbox: Inbox, limit: float) -> None:
    """With every text tried: the service runs until it has tried them."""
    _make_database(place)
    place.register(files - 1, "first@people.test")
    place.first_mail(inbox, limit, tries=True)
    print("files\tstatus\tcheck\tcheck of one file")
    one = str(place.root / "config" / "webinars" / "0.toml")
    times = [place.seconds(*arguments) for arguments in (["status"], ["check"], ["check", one])]
    print(files, *(f"{seconds:.1f} s" for seconds in times), sep="\t")


def _make_database(place: Place) -> None:
    script = "import os; from scheduler.database.engine import Database as D; D(os.environ['DATABASE_URL']).migrate()"
    subprocess.run([sys.executable, "-c", script], env=place.environment, cwd=place.code, check=True)


if __name__ == "__main__":
    main()
