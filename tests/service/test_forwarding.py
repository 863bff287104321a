"""`join_link = "forward"`: mails and calendars hold a link that never changes, so a new address of the meeting costs
neither a mail nor an update of anybody's calendar."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from icalendar import Calendar

from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.service.service import Service
from scheduler.settings import Settings
from tests.governing.trying import quick_trials
from tests.smtp_server import MailServer, in_loop
from tests.support import Ledger, copy_texts, toml, utc

REGISTERED = utc("2025-06-20 08:00")
PAGES = "https://webinars.who.int"
AMINA, BORIS = "amina@people.test", "boris@people.test"
FORWARD = {"join_link": "forward", "notice_after": "10m"}


class Here:
    """A service on a virtual clock, over a folder of one webinar."""

    def __init__(self, folder: Path, database: Database, server: MailServer) -> None:
        self.ledger, self.clock, self.server = Ledger(database), VirtualClock(REGISTERED), server
        self._folder = folder
        (folder / "webinars").mkdir()
        copy_texts(folder / "templates", "en")
        self._settings = Settings.model_validate(
            {
                "config_dir": folder,
                "templates_dir": folder / "templates",
                "smtp_host": server.host,
                "smtp_port": server.port,
                "smtp_tls": "none",
                "pages_url": PAGES,
            }
        )
        self._service = Service(self._settings, database, self.clock)

    def write(self, **changed: Any) -> None:
        (self._folder / "webinars" / "w.toml").write_text(toml(**{"languages": ["en"], **changed}), "utf-8")

    async def start(self) -> None:
        await self._service.start()

    async def go_to(self, end: datetime) -> None:
        """Let the time pass, with a tick in each minute around now and then at each instant at which mails are due."""
        for seconds in (2, 4, 6, 700, 702):
            await self._tick(min(end, self.clock.now() + timedelta(seconds=seconds)))
        while (wake := await self._service.next_wake()) and wake < end:
            await self._tick(wake)
        await self._tick(end)

    async def _tick(self, at: datetime) -> None:
        self.clock.move_to(max(at, self.clock.now()))
        while await self._service.tick(self.clock.now()):
            pass
        await self._service.settled()

    async def stop(self) -> None:
        await self._service.stop()

    def subjects(self) -> list[tuple[str, str]]:
        return [
            (one.recipients[0], str(_read(one.content)["Subject"]).partition(":")[0])
            for one in self.server.mails
        ]

    def link_of(self, address: str) -> str:
        ((key,),) = self.ledger.sql("SELECT key FROM registration WHERE address = :address", address=address)
        return f"{PAGES}/j/{key}"


def _read(content: bytes) -> Any:
    return message_from_bytes(content, policy=policy.default)


def everything(content: bytes) -> str:
    parts = [part for part in _read(content).walk() if not part.is_multipart()]
    return "\n".join(part.get_payload(decode=True).decode() for part in parts).replace("\r\n ", "")


def entry(content: bytes) -> Any:
    (part,) = [part for part in _read(content).walk() if part.get_content_type() == "text/calendar"]
    return Calendar.from_ical(part.get_payload(decode=True)).walk("VEVENT")[0]


@asynccontextmanager
async def live(folder: Path, database: Database, **changed: Any) -> AsyncIterator[Here]:
    """A live webinar with two people, one of whom has a link of their own, who have their confirmations."""
    async with MailServer() as server:
        here = Here(folder, database, server)
        here.write(**changed)
        here.ledger.register(AMINA)
        here.ledger.register(BORIS, join_url="https://zoom.example.test/w/boris-1")
        await here.start()
        await here.go_to(REGISTERED + timedelta(hours=1))
        yield here
        await here.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Any:
    with quick_trials(monkeypatch, lambda *_: False):
        yield


@in_loop
async def test_a_changed_link_costs_no_mail_and_no_update(tmp_path: Path, database: Database) -> None:
    async with live(tmp_path, database, **FORWARD) as here:
        for mail in here.server.mails:
            link = here.link_of(mail.recipients[0])
            assert link in everything(mail.content)
            assert {str(entry(mail.content)[name]) for name in ("LOCATION", "URL", "CONFERENCE")} == {link}
            assert not re.search(r"meet\.who\.int|zoom", everything(mail.content))
        ((plan, versions),) = here.ledger.sql("SELECT plan, (SELECT count(*) FROM invitation) FROM webinar")

        here.write(**FORWARD, join_url="https://meet.who.int/another")
        here.ledger.sql(
            "UPDATE registrants SET join_url = 'https://zoom.example.test/w/boris-2' WHERE email = :b",
            b=BORIS,
        )
        await here.go_to(utc("2025-07-03 10:30"))

        assert sorted(here.subjects()) == sorted(
            (address, subject)
            for address in (AMINA, BORIS)
            for subject in ("You are registered", "Starts tomorrow", "We start in one hour")
        ), "neither a notice, nor a mail to the organizers about one"
        assert here.ledger.sql("SELECT plan, (SELECT count(*) FROM invitation) FROM webinar") == [
            (plan, versions)
        ]
        assert here.ledger.sql("SELECT revision_id FROM webinar") != [(1,)], "though the edit governs"
        assert here.ledger.sql("SELECT join_url FROM registration WHERE address = :b", b=BORIS) == [
            ("https://zoom.example.test/w/boris-2",)
        ]


@in_loop
async def test_a_new_time_is_notified_and_the_link_stays(tmp_path: Path, database: Database) -> None:
    async with live(tmp_path, database, **FORWARD) as here:
        here.write(**FORWARD, start=datetime(2025, 7, 3, 14), join_url="https://meet.who.int/another")
        await here.go_to(REGISTERED + timedelta(hours=3))

        notices = [one for one in here.server.mails if one.recipients[0] in (AMINA, BORIS)][2:]
        assert [str(_read(one.content)["Subject"]).partition(":")[0] for one in notices] == ["New time"] * 2
        for mail in notices:
            assert str(entry(mail.content)["LOCATION"]) == here.link_of(mail.recipients[0])
            assert "New link" not in everything(mail.content)


@pytest.mark.engines("sqlite")
@in_loop
async def test_a_webinar_that_begins_to_forward_tells_everybody_once(
    tmp_path: Path, database: Database
) -> None:
    async with live(tmp_path, database, notice_after="10m") as here:
        here.write(**FORWARD)
        await here.go_to(REGISTERED + timedelta(hours=3))

        notices = {one.recipients[0]: one.content for one in here.server.mails[2:]}
        assert {
            str(_read(content)["Subject"]).partition(":")[0]
            for to, content in notices.items()
            if to in (AMINA, BORIS)
        } == {"New link"}
        for address in (AMINA, BORIS):
            assert here.link_of(address) in everything(notices[address])
