"""A service whose webinars have sources: it reads them by itself, and whatever they do, mails go on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.endtoend.support import CONFIRMATION_ONLY, on_the_real_clock, people, scene, until

EVERY = "1m"

pytestmark = pytest.mark.full


def source(words: str) -> str:
    return f'{CONFIRMATION_ONLY}\n[source]\n{words}\nevery = "{EVERY}"\n'


@on_the_real_clock
async def test_people_of_another_database_get_their_mails(tmp_path: Path, database_url: str) -> None:
    crm = tmp_path / "crm.db"
    first, second = people(2)
    with closing(sqlite3.connect(crm)) as conn, conn:
        conn.execute("CREATE TABLE attendees (mail TEXT, full_name TEXT)")
        conn.executemany("INSERT INTO attendees VALUES (?, 'Somebody')", [(first,), (second,)])
    async with scene(tmp_path, database_url) as there:
        there.webinar(sequence=source('from = "crm"\ntable = "attendees"'))
        service = await there.run(SOURCE_CRM=f"sqlite:///{crm}")
        await there.relay.took(2)
        await service.ready()
        assert {one.to for one in there.relay.arrivals} == {first, second}
        with closing(sqlite3.connect(crm)) as conn, conn:
            conn.execute("DELETE FROM attendees WHERE mail = ?", (first,))
        code, printed = await there.command("pull", "w", SOURCE_CRM=f"sqlite:///{crm}")
        assert (code, "1 gone" in printed) == (0, True), printed
        await until(lambda: there.sql("SELECT 1 FROM registration WHERE gone_at IS NOT NULL"), "gone")
        status = await there.command("status")
        assert "SOURCE_CRM" in status[1]


@on_the_real_clock
async def test_a_source_that_fails_is_noted_and_others_mails_go_out(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "files").mkdir()
    async with scene(tmp_path, database_url) as there:
        there.webinar(sequence=source('path = "missing.csv"'))
        service = await there.run(SOURCES_DIR=str(tmp_path / "files"))
        note = await service.noted("the source of w: ")
        assert "missing.csv: no such file or directory" in note
        there.sql.register(people(1))
        await there.relay.took(1)
        await service.ready()
        (tmp_path / "files/missing.csv").write_text(f"email\n{people(2)[1]}\n")
        await there.command("pull", "w", SOURCES_DIR=str(tmp_path / "files"))
        await there.relay.took(2)

        async def no_note() -> bool:
            return not (await service.get("/readyz"))[1]["notes"]

        await until(no_note, "nothing to note", within=30)
