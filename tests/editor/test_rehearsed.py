"""The editor beside a rehearsal's inbox: for whoever sits at the machine, on the rehearsal's people."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx

from scheduler.editor.rehearsed import rehearsal_app
from scheduler.organizers.texts import digest
from scheduler.registrants.files.reading import FileRow, read_rows
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
            text = "/templates/reminder-day/en"
            page = await client.get(text)
            assert "Send me this" not in page.text
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
