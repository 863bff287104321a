"""An edit that notifies people, as its organizer and its registrants see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.endtoend.support import ORGANIZER, Process, Scene, on_the_real_clock, people, scene, until
from tests.endtoend.test_edits import text_of


async def _noted(service: Process, words: str) -> str:
    async def found() -> str:
        status, body = await service.get("/readyz")
        assert status == 200, "a note never makes it unready"
        return next((one for one in body["notes"] if words in one), "")

    return str(await until(found, f"a note: {words}"))


def _webinar(here: Scene, *arguments: str) -> tuple[int, str]:
    given = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = {"DATABASE_URL": here.sql.url, "CONFIG_DIR": str(here.config), "TEMPLATES_DIR": str(here.templates),
                   "HEALTH_PORT": "0"}  # fmt: skip
    done = subprocess.run(
        [Path(sys.executable).with_name("webinar"), *arguments],
        env=given | environment, cwd=here.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.full  # a dozen seconds, most of them for the files to be read twice
@on_the_real_clock
async def test_an_edit_waits_is_undone_and_is_sent_at_once(tmp_path: Path, database_url: str) -> None:
    async with scene(tmp_path, database_url) as here:
        start = (datetime.now(UTC) + timedelta(days=5)).replace(second=0)
        here.webinar(start=start)
        service = await here.run()
        await service.ready()
        first, second = people(2)
        here.sql.register([first, second])
        await here.relay.took(2)

        here.webinar(start=start + timedelta(hours=1))
        note = await _noted(service, "2 people will be notified at ")
        assert "a new time" in note
        await until(lambda: here.relay.told, "the organizer knows")
        assert here.relay.told[0].startswith("Action needed? Webinar w: 2 people will be notified at ")
        (waits,) = json.loads(_webinar(here, "status", "--json")[1])["notices"]
        assert (waits["webinar"], waits["kind"], waits["people"]) == ("w", "change", 2)

        here.webinar(start=start)
        await until(lambda: here.sql("SELECT 1 FROM webinar WHERE waiting_id IS NULL"), "undone")
        assert _webinar(here, "notify", "w", "--yes")[0] == 1

        here.webinar(start=start + timedelta(hours=2))
        await until(lambda: here.sql("SELECT 1 FROM webinar WHERE waiting_id IS NOT NULL"), "it waits again")
        assert _webinar(here, "notify", "w", "--yes")[0] == 0
        await until(lambda: len(here.relay.to(first)) == len(here.relay.to(second)) == 2, "the notices")
        notice = here.relay.to(first)[1]
        assert notice.subject.startswith("New time: ")
        assert "was" in text_of(notice.mail)
        await until(lambda: len(here.relay.to(ORGANIZER)) >= 2, "the organizer knows")
        assert len(here.relay.to(ORGANIZER)) == 2, "one mail for each edit that waited"
