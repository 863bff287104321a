"""The editor beside a rehearsal's inbox: for whoever sits at the machine, on the rehearsal's people."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from scheduler.governing.proposals import digest
from scheduler.mail.trial.pairs import Verdicts
from scheduler.registrants.files.reading import FileRow, read_rows
from scheduler.web.inbox import rehearsed
from scheduler.web.inbox.rehearsed import rehearsal_app
from tests.support import copy_texts, webinar

CSV = b"email,name,timezone\nmaya@who.int,Maya Shrestha,Asia/Kathmandu\n"


def _rows() -> list[FileRow]:
    rows, _ = read_rows(CSV, "people.csv")
    return rows


def test_it_is_beside_the_inbox_without_signing_in(tmp_path: Path, loop: asyncio.Runner) -> None:
    out, templates = tmp_path / "out", tmp_path / "templates"
    out.mkdir()
    (out / "index.html").write_text("the inbox")
    copy_texts(templates, "en")
    app, editor = rehearsal_app(out, webinar(languages=["en"]), _rows(), "people.csv", templates)
    editor.answer_to(8025)

    async def visit() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8025") as client:
            assert (await client.get("/")).text == "the inbox"
            page = await client.get("/templates")
            assert page.status_code == 200
            assert "Sign out" not in page.text
            assert '<a href="/">Inbox</a>' in page.text
            assert '<a href="/timeline.html">Timeline</a>' in page.text
            text = "/templates/reminder-day/en"
            page = await client.get(text)
            assert "Send me this" not in page.text
            assert 'data-meanwhile="the next rehearsal keeps its mails back"' in page.text
            (csrf,) = re.findall(r'data-csrf="(\w+)"', page.text)
            source = (templates / "reminder-day/en.md").read_text()
            asked = {"source": source, "registrant": "maya@who.int"}
            said = (await client.post(f"{text}/try", json=asked, headers={"X-CSRF": csrf})).json()
            assert "Maya Shrestha" in said["mail"]["text"]
            assert "16:45" in said["mail"]["text"]
            saved = {"source": source + "\nBye.\n", "began_with": digest(source)}
            assert (await client.post(f"{text}/save", json=saved, headers={"X-CSRF": csrf})).json()["sound"]
            assert (templates / "reminder-day/en.md").read_text() == source + "\nBye.\n"
            elsewhere = await client.get("/templates", headers={"Host": "evil.example"})
            assert elsewhere.status_code == 421

    try:
        loop.run(visit())
    finally:
        loop.run(editor.stop())


def test_its_list_waits_for_no_trial_and_shows_what_one_has_found(
    tmp_path: Path, loop: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, check = Event(), Event(), rehearsed.check_texts

    def later(*given: Any) -> Verdicts:
        begun.set()
        go_on.wait(30)
        return check(*given)

    monkeypatch.setattr(rehearsed, "check_texts", later)
    out, templates = tmp_path / "out", tmp_path / "templates"
    out.mkdir()
    copy_texts(templates, "en")
    broken = templates / "reminder-day/en.md"
    broken.write_text(broken.read_text() + "\n{{ nosuch }}\n")
    app, editor = rehearsal_app(out, webinar(languages=["en"]), [], "people.csv", templates)
    editor.answer_to(8025)

    async def visit() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8025") as client:
            assert (await client.get("/templates")).status_code == 200
            assert begun.is_set() or await asyncio.to_thread(begun.wait, 30)
            assert "nosuch" not in (await client.get("/templates")).text
            go_on.set()
            async with asyncio.timeout(60):
                while "nosuch" not in (await client.get("/templates")).text:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    try:
        loop.run(visit())
    finally:
        go_on.set()
        loop.run(editor.stop())
