"""The web process beside a service that runs: it sees what governs, has test mails sent, and delays nothing."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from scheduler.database.engine import Database
from scheduler.governing.proposals import digest
from scheduler.web import accounts
from tests.endtoend.support import HOST, Scene, free_port, on_the_real_clock, people, scene, until
from tests.support import utc

EDITOR, PASSWORD = "ada@who.int", "four words make one"
TEXT = "/templates/confirmation/en"


@pytest.mark.full  # tests/editor and tests/web/test_child.py have its parts
@on_the_real_clock
async def test_an_editor_sees_what_governs_sends_a_test_and_an_edit_goes_out(
    tmp_path: Path, database_url: str
) -> None:
    async with scene(tmp_path, database_url) as here:
        here.webinar()
        port = free_port()
        service = await here.run(EDITOR="on", EDITOR_PORT=str(port))
        await service.ready()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            await _sign_in(here, client, port)
            csrf = {"X-CSRF": accounts.Editor("", "edit", client.cookies["session"]).csrf}
            assert "confirmation" in (await client.get("/templates")).text
            source = (here.templates / "confirmation" / "en.md").read_text()
            sent = await client.post(f"{TEXT}/send", json={"source": source}, headers=csrf, timeout=30)
            assert sent.json() == {"sent_to": EDITOR}
            assert [one.subject[:6] for one in here.relay.to(EDITOR)] == ["[TEST]"]

            edited = source.replace("---\n", "---\n", 1) + "\nA word from the editor.\n"
            said = {"source": edited, "began_with": digest(source)}
            assert (await client.post(f"{TEXT}/save", json=said, headers=csrf, timeout=30)).json()["sound"]
            stored = "SELECT count(*) FROM text_revision WHERE message = 'confirmation'"
            await until(lambda: here.sql(stored) == [(2,)], "the edit governs")
            here.sql.register(people(1))
            await until(lambda: here.relay.of("confirmation"), "the confirmation")
            body = here.relay.of("confirmation")[-1].mail.get_body(("plain",))
            assert body
            assert "A word from the editor." in body.get_content()


@pytest.mark.full  # tests/web/test_child.py has its parts
@on_the_real_clock
async def test_killed_with_its_service_it_leaves_the_port_and_without_it_mails_go_out(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        here.webinar()
        with socket.create_server((HOST, 0)) as taken:
            port = taken.getsockname()[1]
            service = await here.run(EDITOR="on", EDITOR_PORT=str(port))
            assert "web process ended" in await service.noted("web process")
            here.sql.register(people(1))
            await until(lambda: here.relay.of("confirmation"), "the confirmation")
        await until(lambda: _answers(port), "started again, now that the port is free")
        service.send_signal(signal.SIGKILL)
        await until(lambda: _is_free(port), "the port is free")


@pytest.mark.full  # tests/web/test_limits.py has its parts
@on_the_real_clock
async def test_health_answers_and_mails_leave_while_the_health_port_is_flooded(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        here.webinar()
        service = await here.run()
        await service.ready()
        silent = [await asyncio.open_connection(HOST, service.port) for _ in range(300)]
        here.sql.register(people(3))
        await until(lambda: len(here.relay.of("confirmation")) == 3, "the confirmations")
        await service.ready()
        for _, writer in silent:
            writer.close()


async def _sign_in(here: Scene, client: httpx.AsyncClient, port: int) -> None:
    await until(lambda: _answers(port), "the editor answers")
    database = Database(here.sql.url)
    with database.transaction() as conn:
        accounts.save_account(conn, utc("2025-06-20 08:00"), EDITOR, PASSWORD, "edit")
    database.close()
    answer = await client.post("/templates/sign-in", data={"address": EDITOR, "password": PASSWORD})
    assert answer.status_code == 303


def _answers(port: int) -> Any:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/templates/sign-in").status_code == 200
    except httpx.TransportError:
        return False


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
