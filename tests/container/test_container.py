"""The image of the Dockerfile, run as compose.yaml says: what a webinar's registrants get from it, and what not.

`full`: needs Debian's buildah, mmdebstrap, bubblewrap and docker-compose, and root.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import sqlite3
import subprocess
import sys
import tomllib
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from tests.container.containers import PROJECT, USER, Container, compose, prepared, relay, secret, until
from tests.smtp_server import MailServer
from tests.support import toml

pytestmark = pytest.mark.full

BURST = 400
WEB_PROCESS = """
import os, urllib.request
from pathlib import Path
page = f"http://127.0.0.1:{os.environ['EDITOR_PORT']}/templates/sign-in"
status = urllib.request.urlopen(page).status
of_web = b"-m\\0scheduler.web.process\\0"
(process,) = [one for one in Path("/proc").glob("[0-9]*") if of_web in (one / "cmdline").read_bytes()]
niceness = os.getpriority(os.PRIO_PROCESS, int(process.name))
print(status, niceness, b"SMTP" in (process / "environ").read_bytes())
"""


def webinar() -> str:
    """A live webinar a month from now, so that only confirmations are due."""
    day = datetime.now(UTC).date() + timedelta(days=30)
    return toml(
        start=datetime(day.year, day.month, day.day, 13), end=datetime(day.year, day.month, day.day, 15)
    )


def settings(server: MailServer) -> dict[str, str]:
    """What the operator writes into the file .env."""
    return {"SMTP_HOST": server.host, "SMTP_PORT": str(server.port), "SMTP_CA_FILE": "/config/relay-ca.pem"}


def addresses(server: MailServer) -> Counter[str]:
    return Counter(recipient for mail in server.mails for recipient in mail.recipients)


def subject(server: MailServer, address: str) -> str:
    mails = [mail for mail in server.mails if mail.recipients == (address,)]
    return str(email.message_from_bytes(mails[-1].content, policy=email.policy.default)["Subject"])


def burst(name: str) -> list[str]:
    return [f"{name}{i}@who.int" for i in range(BURST)]


class Volume:
    """The database on the volume, as a registration system writes to it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, statement: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self._file, timeout=30)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def register(self, *people: str) -> None:
        with closing(sqlite3.connect(self._file, timeout=30)) as connection, connection:
            connection.executemany(
                "INSERT INTO registrants (webinar, email, timezone) VALUES ('w', ?, 'Asia/Kathmandu')",
                [(one,) for one in people],
            )


def test_compose_files_shut_every_service_in(image: Path) -> None:
    services = compose("compose.yaml", "compose.postgresql.yaml", SMTP_HOST="relay")
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    ours, made = services["webinar"], json.loads((image / "image.json").read_text())["config"]
    assert ours["healthcheck"]["test"] == made["Healthcheck"]["Test"]
    assert "user" not in ours, "the image's own"
    assert made["User"] == f"{USER}:{USER}"
    assert {volume.split(":")[1] for volume in ours["volumes"] if volume.endswith(":rw")} == set(
        made["Volumes"]
    )
    assert ours["stop_grace_period"] == "45s"
    assert ours["environment"]["DRAIN_SECONDS"] == 30


def test_image_says_what_it_is_made_of(image: Path) -> None:
    labels = json.loads((image / "image.json").read_text())["config"]["Labels"]
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert labels["org.opencontainers.image.version"] == version
    commit = labels["org.opencontainers.image.revision"].removesuffix("-dirty")
    subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=PROJECT, check=True)


def test_image_alone_rehearses_the_shipped_webinar(image: Path) -> None:
    """`docker run --rm webinar-scheduler rehearse ...`: config and templates are in the image, too."""
    arguments = ["--name", "rehearsal", str(image), "rehearse", "--out", "/tmp/rehearsal", "--json"]
    done = subprocess.run(
        [sys.executable, "container/run.py", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert any(one["message"] == "reminder-hour" for one in json.loads(done.stdout))


def test_service_in_its_container(image: Path, tmp_path: Path) -> None:
    async def story() -> None:
        sources = prepared(tmp_path, webinar())
        volume = Volume(sources["/data"] / "webinar.db")
        async with relay() as server, asyncio.timeout(150):
            service = compose("compose.yaml", **settings(server))["webinar"]
            async with Container(image, "alone", service, sources) as container:
                await is_shut_in(container)
                await serves_the_editor_beside_the_service(container)
                await writes_to_a_registrant(container, volume, server)
                await takes_an_edited_text(sources["/templates"], volume, server)
                await stops_in_a_burst(container, volume, server)
                await container.start()
                await has_lost_and_doubled_nothing(volume, server)
                assert await container.stop() == 0

    asyncio.run(story())


async def is_shut_in(container: Container) -> None:
    """No root, no capabilities, nothing to write to but the volume and /tmp."""
    assert await container.exec("id", "-u") == (0, f"{USER}\n")
    status = (await container.exec("cat", "/proc/1/status"))[1]
    assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    assert "CapBnd:\t0000000000000000\n" in status
    assert "NoNewPrivs:\t1\n" in status
    for folder in ("/", "/opt/webinar", "/config", "/templates"):
        code, said = await container.exec("touch", f"{folder}/new")
        assert (code, "Read-only file system" in said) == (1, True), said
    assert await container.exec("touch", "/tmp/new", "/data/new") == (0, "")
    assert (await container.exec("python", "-c", "import pip"))[0] == 1
    own_zones = "import zoneinfo; print(zoneinfo.TZPATH, zoneinfo.ZoneInfo('CET'))"
    assert await container.exec("python", "-c", own_zones) == (0, "() CET\n")


async def serves_the_editor_beside_the_service(container: Container) -> None:
    """In a niced process of the same user, which has no relay's name or password."""
    async with asyncio.timeout(60):
        while (answer := await container.exec("python", "-c", WEB_PROCESS)) != (0, "200 10 False\n"):
            assert "Error" not in answer[1] or "refused" in answer[1], answer


async def writes_to_a_registrant(container: Container, volume: Volume, server: MailServer) -> None:
    volume.register("maya@who.int")
    await until(lambda: bool(server.mails), f"a mail for a new registrant\n{container.log()}")
    (mail,) = server.mails
    assert mail.recipients == ("maya@who.int",)
    assert mail.secured
    assert mail.user == "webinar"
    assert b"text/calendar" in mail.content
    assert await container.health() == (0, "")


async def takes_an_edited_text(templates: Path, volume: Volume, server: MailServer) -> None:
    """An editor puts a new file in the place of the old one; the next registrant gets its text."""
    old = (templates / "confirmation" / "en.md").read_text()
    new = templates / "confirmation" / ".en.md.new"
    new.write_text(old.replace("subject: You are registered:", "subject: Your place is sure:"))
    new.replace(templates / "confirmation" / "en.md")
    newest = (
        "SELECT source FROM text_revision WHERE message = 'confirmation' AND language = 'en' ORDER BY id DESC"
    )
    await until(lambda: "Your place is sure" in volume(newest)[0][0], "the new text in force")
    volume.register("ana@who.int")
    await until(lambda: len(server.mails) == 2, "a mail with the new text")
    assert subject(server, "maya@who.int").startswith("You are registered:")
    assert subject(server, "ana@who.int").startswith("Your place is sure:")


async def stops_in_a_burst(container: Container, volume: Volume, server: MailServer) -> None:
    volume.register(*burst("early"))
    await until(lambda: len(server.mails) > 20, "the first mails of a burst")
    assert await container.stop() == 0
    assert len(server.mails) < BURST, "stopped in the middle"
    states = Counter(
        state for (state,) in volume("SELECT state FROM delivery WHERE message = 'confirmation'")
    )
    assert states["sent"] == len(server.mails), "what the relay has is on record"
    assert not states.keys() - {"sent", "pending"}, "nothing is in doubt"
    volume.register(*burst("late"))  # people register while nobody is there


async def has_lost_and_doubled_nothing(volume: Volume, server: MailServer) -> None:
    everybody = ["maya@who.int", "ana@who.int", *burst("early"), *burst("late")]
    waiting = "SELECT count(*) FROM delivery WHERE message = 'confirmation' AND state <> 'sent'"
    await until(lambda: len(server.mails) >= len(everybody), "all mails")
    await until(lambda: volume(waiting) == [(0,)], "all outcomes on record")
    assert addresses(server) == Counter(everybody)


def test_two_replicas_on_postgresql(image: Path, tmp_path: Path, postgresql_url: str) -> None:
    """A replica that stops in a burst leaves its mails to the other."""
    engine = create_engine(postgresql_url, poolclass=NullPool)
    url = make_url(postgresql_url)
    (socket,) = (one for one in Path(str(url.query["host"])).iterdir() if one.is_socket())

    async def story() -> None:
        sources = prepared(tmp_path, webinar())
        sources[f"/run/postgresql/{socket.name}"] = socket
        in_container = f"postgresql://postgres@/{url.database}?host=/run/postgresql"
        sources["/run/secrets/database_url"] = secret(tmp_path, "database_url", in_container)
        async with relay() as server, asyncio.timeout(150):
            service = compose("compose.yaml", "compose.postgresql.yaml", **settings(server))["webinar"]
            assert service["deploy"]["replicas"] == 2
            one = Container(image, "one", service, sources)
            other = Container(image, "other", service, sources)
            async with one, other:
                register(burst("b"))
                await until(lambda: len(server.mails) > 20, "the first mails of a burst")
                assert await one.stop() == 0
                assert len(server.mails) < BURST, "stopped in the middle"
                await until(lambda: len(server.mails) >= BURST, f"all mails\n{other.log()}")
                await until(lambda: waiting() == 0, "all outcomes on record")
                assert await other.stop() == 0
            assert addresses(server) == Counter(burst("b"))

    def register(people: list[str]) -> None:
        insert = text("INSERT INTO registrants (webinar, email) VALUES ('w', :email)")
        with engine.begin() as connection:
            connection.execute(insert, [{"email": person} for person in people])

    def waiting() -> int:
        count = text("SELECT count(*) FROM delivery WHERE message = 'confirmation' AND state <> 'sent'")
        with engine.connect() as connection:
            return int(connection.execute(count).scalar_one())

    asyncio.run(story())
