"""A rehearsal's pages: every visible link of its mails works there, looking changes nothing, and what somebody asks for
happens in the rehearsal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlmodel import SQLModel
from starlette.applications import Starlette

from scheduler.database.engine import Database
from scheduler.http.server import WebServer
from scheduler.mail.words.phrases import phrases
from scheduler.registrants.files.reading import read_rows
from scheduler.rehearsal import Play, Rehearsed, go_on, rehearse
from scheduler.web.inbox.rehearsed import rehearsal_pages
from scheduler.webinar.model import read_webinar
from tests.browsing import chromium
from tests.endtoend.support import free_port
from tests.governing.trying import quick_trials
from tests.received import Mail
from tests.rehearsed import ROOT
from tests.support import until, utc

LANGUAGES = ("en", "fr", "es", "ru", "zh", "ar")
TRILATERAL = ROOT / "config/webinars/trilateral-2025.toml"
ROWS = "email,language,timezone,registered_at\n" + "".join(
    f"{language}@example.org,{language},Africa/Nairobi,2025-06-20T08:00:00Z\n" for language in LANGUAGES
)
URL = "http://127.0.0.1:8026"


def played(
    folder: Path, url: str = URL, end: datetime | None = None, source: str = ""
) -> tuple[Play, Rehearsed]:
    """The trilateral webinar for one person in each language, to the end or to an instant."""
    source = source or TRILATERAL.read_text("utf-8")
    play = Play(read_webinar(source, "w.toml"), source, ROOT / "templates", folder / "out", url)
    rows, _ = read_rows(ROWS.encode(), "people.csv")
    return play, asyncio.run(rehearse(play, rows, place="people.csv", until=end))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with quick_trials(monkeypatch, lambda *_: False):
        yield


def dump(play: Play) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, but the sign of life of a service."""
    database = Database(f"sqlite:///{play.database}")
    with database.reading() as conn:
        tables = {name: table for name, table in SQLModel.metadata.tables.items() if name != "service"}
        rows = {
            name: sorted(map(tuple, conn.execute(select(table))), key=repr) for name, table in tables.items()
        }
    database.close()
    return rows


def mails(rehearsed: Rehearsed) -> Iterator[tuple[dict[str, Any], Mail]]:
    for delivery in rehearsed.deliveries:
        if delivery["eml"]:
            yield delivery, Mail.of(rehearsed.out / delivery["eml"])


def links_to_pages(rehearsed: Rehearsed, url: str = URL) -> set[str]:
    return {link for _, mail in mails(rehearsed) for link in mail.page.links if link.startswith(url)}


async def asked(app: Starlette, method: str, link: str, **given: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.request(method, link, **given)


FORWARDS = TRILATERAL.read_text("utf-8").replace('join_link = "direct"', 'join_link = "forward"')


def test_every_link_in_every_mail_works_and_looking_changes_nothing(tmp_path: Path) -> None:
    play, rehearsed = played(tmp_path, source=FORWARDS)
    app = rehearsal_pages(play.database, rehearsed.ended_at, URL)
    before = dump(play)

    for delivery, mail in mails(rehearsed):
        words = phrases(delivery["language"])
        named = [words.my_registration, words.stop]
        assert all(name in mail.page.text for name in named)
        assert not [link for link in mail.page.links if link.startswith("mailto:")]
        assert {link for link in mail.page.links if link.startswith("http://")} == {
            link for link in mail.page.links if link.startswith(URL)
        }
        assert "List-Unsubscribe-Post" not in mail.message, "for https alone"
    links = links_to_pages(rehearsed)
    assert {link.removeprefix(URL).split("/")[1] for link in links} == {"r", "j"}
    assert len({link.split("/")[4].partition("#")[0] for link in links}) == len(LANGUAGES), "a key each"
    for link in links:
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = asyncio.run(asked(app, method, link))
            assert answer.status_code == (405 if method == "OPTIONS" else 200), (method, link)
    assert dump(play) == before


@pytest.mark.full
def test_a_scanner_that_runs_scripts_changes_nothing(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    play, rehearsed = played(tmp_path, url, utc("2025-07-01 10:00"), FORWARDS)
    before = dump(play)

    async def main() -> None:
        app = rehearsal_pages(play.database, rehearsed.ended_at, url)
        server = WebServer(app, "127.0.0.1", int(url.rpartition(":")[2]))
        await server.start()
        await asyncio.to_thread(scan, links_to_pages(rehearsed, url))
        await server.stop()

    asyncio.run(main())
    assert dump(play) == before


def scan(links: set[str]) -> None:
    with chromium() as browser:
        for link in sorted(links):
            page = browser.new_page()
            answer = page.goto(link, wait_until="networkidle")
            assert answer
            assert answer.status == 200, link
            page.close()


def test_what_somebody_asks_for_happens_and_its_mail_comes_into_the_inbox(tmp_path: Path) -> None:
    play, rehearsed = played(tmp_path, end=utc("2025-07-01 10:00"))
    assert rehearsed.ended_at == utc("2025-07-01 10:00")
    assert {one["message"] for one in rehearsed.deliveries if one["state"] == "pending"} > {"reminder-day"}
    (link,) = (
        next(link for link in mail.page.links if link.endswith("/unsubscribe")).removesuffix("/unsubscribe")
        for delivery, mail in mails(rehearsed)
        if delivery["email"] == "fr@example.org"
    )

    async def main() -> None:
        going = asyncio.create_task(go_on(play, rehearsed))
        app = rehearsal_pages(play.database, rehearsed.ended_at, URL)
        assert (await asked(app, "POST", f"{link}/withdraw", data={"sure": "yes"})).status_code == 303
        await until(lambda: sent(play, "withdrawal"))
        (path,) = sent(play, "withdrawal")
        told = Mail.of(play.out / path)
        assert "Vous ne participez pas" in told.text
        assert f"<{link}>" in told.text, "the way back"
        assert told.entry
        assert told.entry.one("METHOD") == "CANCEL"
        assert (await asked(app, "POST", f"{link}/return")).status_code == 303
        await until(lambda: len(sent(play, "confirmation", "fr@example.org")) == 2)
        first, second = (
            Mail.of(play.out / one).entry for one in sent(play, "confirmation", "fr@example.org")
        )
        assert first
        assert second
        assert (second.one("UID"), second.one("METHOD")) == (first.one("UID"), "REQUEST")
        assert [int(one.one("SEQUENCE")) for one in (first, told.entry, second)] == [0, 1, 2]
        assert (await asked(app, "POST", f"{link}/data")).status_code == 303
        await until(lambda: len(list(play.mails.glob("*.eml"))) == len(rehearsed.received) + 3)
        going.cancel()
        await asyncio.wait([going])

    asyncio.run(main())


def sent(play: Play, message: str, to: str = "") -> list[str]:
    """The files of such mails, by the folder's list of deliveries."""
    deliveries = json.loads((play.out / "deliveries.json").read_text("utf-8"))
    return [
        one["eml"]
        for one in deliveries
        if one["message"] == message and one["eml"] and to in ("", one["email"])
    ]
