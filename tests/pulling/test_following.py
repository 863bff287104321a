"""What follows for people and their mails from a source; and pulls that end half way, or meet another one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.ledger import retention
from scheduler.ledger.forgetting import find, forget
from scheduler.pulling import following
from scheduler.pulling.pull import Pull
from scheduler.registrants import sources
from scheduler.registrants.sources import Overtaken
from scheduler.service.purger import Purger
from tests.pulling.scene import ANA, BO, CY, NOW, Exports, Pulled, many, rows, sourced
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")
both = pytest.mark.engines("both")

PEOPLE = (f"{ANA},Ana", f"{BO},Bo", f"{CY},Cy")


class People(Pulled):
    """A CSV that is as long as a test says, and whose people are planned."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database, 'path = "people.csv"', folder)
        self.file = folder / "people.csv"
        self.ledger.govern(self.webinar)

    def follow(self, *people: str, header: str = "email,name") -> None:
        self.file.write_text(rows(*people, header=header))
        os.utime(self.file, (1_700_000_000, 1_700_000_000))
        self.pull()
        self.ledger.plan(self.now)


@pytest.fixture
def source(database: Database, tmp_path: Path) -> People:
    return People(database, tmp_path)


@both
def test_who_comes_is_planned_and_who_goes_gets_nothing_more(source: People) -> None:
    source.follow(*PEOPLE)
    assert source.ledger.states(ANA)["confirmation"] == "pending"
    source.follow(*PEOPLE[1:])
    assert source.ledger.states(ANA) == dict.fromkeys(
        ("confirmation", "reminder-day", "reminder-hour", "follow-up"), "cancelled"
    ) | {name: words for name, words in source.ledger.states(ANA).items() if words.startswith("cancelled")}
    assert source.ledger.states(BO)["confirmation"] == "pending"


def test_who_is_back_in_the_source_is_the_same_registration(source: People) -> None:
    source.follow(*PEOPLE)
    source.ledger.set("confirmation", "sent")
    source.follow(*PEOPLE[1:])
    source.follow(*PEOPLE)
    states = source.ledger.states(ANA)
    assert (states["confirmation"], states["reminder-day"]) == ("sent", "pending")
    assert source.ledger.sql("SELECT count(*) FROM registration") == [(3,)]


@both
@pytest.mark.parametrize("edited", [{"cancelled": True}, {"status": "draft"}, {"status": "ended"}])
def test_a_webinar_that_is_cancelled_while_its_source_is_read_loses_nobody(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: dict[str, Any]
) -> None:
    exports = Exports(database, tmp_path)
    exports.ledger.govern(exports.webinar)
    exports.write(rows(*PEOPLE))
    exports.pull()
    exports.write(rows(*PEOPLE[1:], "dee@example.org,Dee"))
    edit = sourced('path = "people.csv"', **edited)
    exports.before_writing(monkeypatch, lambda: exports.ledger.govern(edit))
    with pytest.raises(Overtaken):
        exports.pull()
    assert set(exports.people) == {ANA, BO, CY}


def test_a_file_that_names_another_source_for_a_while_takes_nobody_away(source: People) -> None:
    source.follow(*PEOPLE)
    before = source.people
    other = Pulled(source.database, 'path = "other.csv"', source.file.parent)
    for content in (None, "", "email\n", rows(*many(3)), "nonsense"):
        if content is not None:
            (source.file.parent / "other.csv").write_text(content)
        other.now = source.now
        assert other.pull().trouble
        assert source.people == before
        source.now = other.now
        source.follow(*PEOPLE)
        assert (source.people, source.standing.trouble) == (before, "")
    assert source.ledger.sql("SELECT count(*) FROM registration") == [(3,)]


@pytest.mark.parametrize("name", ["Ana", "Another"])
def test_two_rows_of_one_address_are_the_same_in_any_order(source: People, name: str) -> None:
    """As a database gives them, which has another order after each of its updates: nobody gets a notice for that."""
    header = "email,name,join_url"
    two = [f"{ANA},Ana,https://meet.test/1", f"{ANA},{name},https://meet.test/2"]
    more = [f"{one}," for one in PEOPLE[1:]]
    source.follow(*two, *more, header=header)
    for message in ("confirmation", "reminder-day"):
        source.ledger.set(message, "sent")
    before = source.ledger.sql("SELECT * FROM registrants ORDER BY id")
    for swapped in (True, False, True):
        source.follow(*more, *(reversed(two) if swapped else two), header=header)
    assert source.ledger.sql("SELECT * FROM registrants ORDER BY id") == before
    assert "change" not in " ".join(source.ledger.states(ANA))
    three = f"{ANA},{name},https://meet.test/3"
    source.follow(*more, *two, three, header=header)
    assert source.ledger.sql("SELECT join_url FROM registrants WHERE email = :ana", ana=ANA) == [
        ("https://meet.test/3",)
    ], "but what is new counts"


def test_a_corrected_zone_moves_what_is_ahead(source: People) -> None:
    header = "email,timezone"
    source.follow(f"{ANA},Europe/Paris", header=header)
    before = source.ledger.due(ANA)
    source.follow(f"{ANA},America/New_York", header=header)
    after = source.ledger.due(ANA)
    assert after["reminder-day"] - before["reminder-day"] == timedelta(hours=6)
    assert after["reminder-hour"] == before["reminder-hour"]


@both
def test_a_forgotten_person_stays_so_until_they_register_again(source: People, database: Database) -> None:
    header = "email,name,registered_at"
    source.follow(f"{ANA},Ana,2025-06-01T10:00:00Z", f"{BO},Bo,2025-06-01T11:00:00Z", header=header)
    with database.reading() as conn:
        found = find(conn, ANA)
    database.in_transaction(lambda conn: forget(conn, source.now, ANA, found))
    source.follow(f"{ANA},Ana,2025-06-01T10:00:00Z", f"{BO},Bo Li,2025-06-01T11:00:00Z", header=header)
    assert source.ledger.states(ANA) == {}
    again = source.now + timedelta(hours=16)  # whatever zone its system means
    source.follow(f"{ANA},Ana,{again.isoformat()}", f"{BO},Bo Li,2025-06-01T11:00:00Z", header=header)
    assert source.ledger.states(ANA)["confirmation"] == "pending"


@both
def test_what_a_source_copied_is_removed_with_its_people(source: People, database: Database) -> None:
    source.ledger.register("otherwise@example.org")
    source.follow(*PEOPLE, "otherwise@example.org,Other")
    source.ledger.sql("UPDATE delivery SET state = 'expired'")
    kept_until = source.webinar.end + timedelta(days=source.webinar.keep_days)
    purger = Purger(database)

    async def purge(now: datetime) -> None:
        while await purger.purge(now, 0):
            pass

    for now in (kept_until - timedelta(days=7), kept_until):
        asyncio.run(purge(now))
    assert source.ledger.sql("SELECT purged_at IS NOT NULL FROM purge") in ([(True,)], [(1,)])
    assert set(source.people) == {"otherwise@example.org"}, "is another system's"
    for table in ("source", "source_row", "registration"):
        assert source.ledger.sql(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert retention.ROWS_OF_A_PERSON


# Half way


def test_a_pull_that_ends_half_way_is_done_by_the_next(
    source: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.file.write_text(rows(*many(1200)))
    os.utime(source.file, (1_700_000_000, 1_700_000_000))
    chunks: list[int] = []

    def pause(seconds: float) -> None:
        chunks.append(len(chunks))
        if len(chunks) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", pause)
    with pytest.raises(KeyboardInterrupt):
        source.pull()
    monkeypatch.undo()
    assert len(source.people) == 500
    assert source.pull().done.new == 700
    assert len(source.people) == 1200
    assert source.ledger.sql("SELECT count(*), count(DISTINCT registrant_id) FROM source_row") == [
        (1200, 1200)
    ]


@both
def test_of_two_pulls_the_later_one_writes(source: People, database: Database) -> None:
    source.file.write_text(rows(*PEOPLE))
    os.utime(source.file, (1_700_000_000, 1_700_000_000))
    first, second = (database.in_transaction(lambda conn: sources.begin(conn, NOW, "w")) for _ in range(2))
    assert first
    assert second
    pull = Pull(database, source.webinar, source.access, NOW)
    with pytest.raises(Overtaken):
        pull.follow(first)
    assert source.people == {}
    pull.follow(second)
    assert len(source.people) == 3


@both
def test_of_two_services_one_pulls_when_it_is_due(database: Database) -> None:
    every = timedelta(minutes=5)

    def begins(at: str) -> bool:
        return database.in_transaction(lambda conn: sources.begin(conn, utc(at), "w", every)) is not None

    assert begins("2025-06-12 08:00")
    assert not begins("2025-06-12 08:00")
    assert not begins("2025-06-12 08:04")
    assert begins("2025-06-12 08:05")


@pytest.mark.full
def test_a_process_that_is_killed_half_way_leaves_whole_people(source: People, database: Database) -> None:
    """As the command is, over and over, until a pull comes to its end."""
    source.file.write_text(rows(*many(6_000)))
    os.utime(source.file, (1_700_000_000, 1_700_000_000))
    killing = (
        "import os, signal, sys; from scheduler.pulling import following as f; left = [4]\n"
        "def note(*a, note=f._note):\n"
        "    note(*a); left[0] -= 1\n"
        "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "f._note = note\n"
        "from datetime import datetime, UTC; from pathlib import Path\n"
        "from scheduler.database.engine import Database; from scheduler.registrants import sources\n"
        "from scheduler.pulling.pull import Pull; from scheduler.pulling.reading import Access\n"
        "from scheduler.webinar.model import read_webinar\n"
        "db = Database(sys.argv[1]); now = datetime.now(UTC)\n"
        "run = db.in_transaction(lambda conn: sources.begin(conn, now, 'w'))\n"
        "webinar = read_webinar(Path(sys.argv[3]).read_text(), 'w.toml')\n"
        "Pull(db, webinar, Access(Path(sys.argv[2])), now).follow(run)\n"
    )
    from tests.support import SEQUENCE, toml

    file = source.file.with_name("w.toml")
    file.write_text(toml(f'{SEQUENCE}\n[source]\npath = "people.csv"\n'))
    url = database.engine.url.render_as_string(hide_password=False)
    killed, before = 0, 0
    for _ in range(100):
        done = subprocess.run(
            [sys.executable, "-c", killing, url, str(source.file.parent), str(file)], check=False
        )
        people = source.ledger.sql("SELECT count(*) FROM registrants")[0][0]
        known = source.ledger.sql("SELECT count(DISTINCT registrant_id) FROM source_row")[0][0]
        assert people == known
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        killed += 1
        assert people > before, "each goes on where the last one ended"
        before = people
    assert killed
    assert people == 6_000
