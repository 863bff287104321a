"""People whose webinar is long over are removed: announced, in small transactions, and no reload brings them back."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.ledger import retention
from scheduler.registrants.again import replan
from scheduler.reports.retention import coming
from scheduler.service import purger
from scheduler.service.purger import Purger
from scheduler.service.service import Service
from tests.everywhere import everywhere
from tests.registrants.test_forgetting import chooses, register, send
from tests.service.test_service import settings
from tests.smtp_server import MailServer, in_loop
from tests.support import Ledger, plan, toml, utc, webinar, words

pytestmark = pytest.mark.engines("sqlite")
both = pytest.mark.engines("both")

PLANNED = utc("2025-06-12 08:00")
END = utc("2025-07-03 13:00")
KEPT_UNTIL = END + timedelta(days=90)
ANNOUNCED = KEPT_UNTIL - timedelta(days=7)
HERS = ("maya.s@", "Maya Shrestha", "maya-only")
AGAIN = {"start": datetime(2026, 7, 3, 13), "end": datetime(2026, 7, 3, 15)}


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """A webinar with Maya and three others, whose confirmations went out, and one that is still ahead."""
    ledger = Ledger(database)
    ahead = {"start": datetime(2025, 12, 1, 13), "end": datetime(2025, 12, 1, 15)}
    ledger.govern(webinar(), webinar(id="ahead", **ahead))
    register(ledger)
    for number in range(3):
        ledger.register(f"b{number}@example.org")
    ledger.register("b0@example.org", webinar="ahead")
    ledger.plan(PLANNED)
    send(ledger)
    ledger.sql("UPDATE delivery SET state = 'expired' WHERE state = 'pending' AND webinar = 'w'")
    return ledger


def write_down(ledger: Ledger) -> None:
    """What the files say, where organizers are to be told."""
    ledger.sql("UPDATE webinar_revision SET source = :source", source=toml())


def purge(ledger: Ledger, now: datetime, one: Purger | None = None) -> Purger:
    """As ticks of the service do it, until nothing is left to do."""
    one = one or Purger(ledger.database)

    async def tick() -> None:
        while await one.purge(now, 0):
            pass

    asyncio.run(tick())
    return one


def removed(ledger: Ledger, webinar: str = "w") -> bool:
    people = ledger.sql("SELECT count(*) FROM registration WHERE webinar = :webinar", webinar=webinar)
    return (
        people == [(0,)]
        and ledger.sql("SELECT 1 FROM delivery WHERE webinar = :webinar", webinar=webinar) == []
    )


def announced_and_removed(ledger: Ledger) -> Purger:
    one = purge(ledger, ANNOUNCED)
    return purge(ledger, KEPT_UNTIL, one)


def people_of(ledger: Ledger) -> int:
    return len(ledger.sql("SELECT id FROM registration WHERE webinar = 'w'"))


def counts(ledger: Ledger) -> list[tuple[Any, ...]]:
    rows = ledger.sql(
        "SELECT message, state, sum(n) FROM (SELECT message, state, count(*) AS n FROM delivery WHERE webinar = 'w'"
        " GROUP BY message, state UNION ALL SELECT message, state, n FROM tally WHERE webinar = 'w') AS t"
        " GROUP BY message, state ORDER BY message, state"
    )
    return [(row[0], row[1], int(row[2])) for row in rows]


# When


def test_what_is_kept_and_until_when(ledger: Ledger) -> None:
    one = purge(ledger, ANNOUNCED - timedelta(minutes=2))
    assert one.notes == ()
    assert not removed(ledger)
    purge(ledger, ANNOUNCED, one)
    assert words(one.notes) == (
        "Registrants of w: the personal data of 4 people is removed from 2025-10-01 13:00 UTC on",
    )
    purge(ledger, KEPT_UNTIL - timedelta(minutes=1), one)
    assert not removed(ledger)
    purge(ledger, KEPT_UNTIL, one)
    assert removed(ledger)
    assert one.notes == ()
    assert not removed(ledger, "ahead")


def test_it_is_announced_for_a_week_however_late_that_is(ledger: Ledger) -> None:
    late = KEPT_UNTIL + timedelta(days=100)
    one = purge(ledger, late)
    assert "2026-01-16 13:00 UTC" in str(one.notes[0])
    purge(ledger, late + timedelta(days=6, hours=23), one)
    assert not removed(ledger)
    purge(ledger, late + timedelta(days=7), one)
    assert removed(ledger)


def test_after_an_upgrade_nothing_goes_for_thirty_days_and_it_is_said_at_once(ledger: Ledger) -> None:
    upgraded = KEPT_UNTIL + timedelta(days=100)
    first = upgraded + timedelta(days=30)
    ledger.sql("INSERT INTO purge (webinar, not_before) VALUES ('w', :first)", first=first)
    write_down(ledger)
    one = purge(ledger, upgraded)
    [alert] = ledger.sql("SELECT key, alert_to, words FROM alert")
    assert alert.key.startswith("retention ")
    assert alert.alert_to == "organizer@who.int"
    assert alert.words.startswith(
        "Personal data is removed from 2026-02-08 13:00 UTC on\n\nOf: w (4 people)."
    )
    purge(ledger, first - timedelta(minutes=1), one)
    assert not removed(ledger)
    purge(ledger, first, one)
    assert removed(ledger)
    assert ledger.sql("SELECT * FROM alert") == [], "nobody is told that it is right again"


def test_a_lower_keep_days_is_announced_for_a_week_as_well(ledger: Ledger) -> None:
    now = END + timedelta(days=40)
    one = purge(ledger, now)
    ledger.govern(webinar(keep_days=1))
    write_down(ledger)
    now += timedelta(minutes=1)
    purge(ledger, now, one)
    assert not removed(ledger)
    assert len(ledger.sql("SELECT * FROM alert")) == 1
    purge(ledger, now + timedelta(days=7), one)
    assert removed(ledger)


def test_a_higher_one_takes_back_what_was_announced(ledger: Ledger) -> None:
    one = purge(ledger, ANNOUNCED)
    ledger.govern(webinar(keep_days=120))
    purge(ledger, KEPT_UNTIL, one)
    assert not removed(ledger)
    assert one.notes == ()
    assert ledger.sql("SELECT * FROM alert") == []


@pytest.mark.parametrize("state", ["pending", "held", "in_doubt", "sending"])
def test_a_mail_that_may_still_go_out_is_waited_for(ledger: Ledger, state: str) -> None:
    one = purge(ledger, ANNOUNCED)
    useful = KEPT_UNTIL + timedelta(days=2)
    ledger.sql("UPDATE delivery SET state = :state, expires_at = :useful WHERE message = 'follow-up' AND webinar = 'w'",
               state=state, useful=useful)  # fmt: skip
    purge(ledger, KEPT_UNTIL, one)
    assert not removed(ledger)
    ledger.sql("UPDATE delivery SET state = 'sent' WHERE message = 'follow-up' AND webinar = 'w'")
    purge(ledger, KEPT_UNTIL + timedelta(minutes=1), one)
    assert removed(ledger)


MOVED = webinar(start=datetime(2025, 11, 3, 13), end=datetime(2025, 11, 3, 15))


@both
def test_while_an_edit_waits_nobody_is_removed_and_a_note_says_so(ledger: Ledger) -> None:
    one = purge(ledger, ANNOUNCED)
    ledger.govern(MOVED, waits=True, now=KEPT_UNTIL - timedelta(minutes=5))
    purge(ledger, KEPT_UNTIL, one)
    note = (
        "Registrants of w: the personal data of 4 people is removed from 2025-10-01 13:00 UTC on,"
        " but not while an edit of the webinar waits"
    )
    assert words(one.notes) == (note,)
    assert people_of(ledger) == 4
    with ledger.database.reading() as conn:
        assert [one.words for one in coming(conn, KEPT_UNTIL)] == [note]
    ledger.plan(KEPT_UNTIL + timedelta(minutes=10))
    purge(ledger, KEPT_UNTIL + timedelta(minutes=10), one)
    assert people_of(ledger) == 4
    assert one.notes == ()


@both
def test_an_edit_that_moves_nothing_only_puts_it_off(ledger: Ledger) -> None:
    one = purge(ledger, ANNOUNCED)
    ledger.sql("UPDATE webinar SET waiting_id = revision_id, takes_effect_at = :at WHERE webinar = 'w'",
               at=KEPT_UNTIL + timedelta(minutes=10))  # fmt: skip
    purge(ledger, KEPT_UNTIL, one)
    assert not removed(ledger)
    ledger.plan(KEPT_UNTIL + timedelta(minutes=10))
    purge(ledger, KEPT_UNTIL + timedelta(minutes=11), one)
    assert removed(ledger)


@both
@pytest.mark.parametrize("waits", [True, False])
def test_an_edit_that_comes_after_the_look_or_between_chunks_stops_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    one, now = purge(ledger, ANNOUNCED), KEPT_UNTIL
    with ledger.database.reading() as conn:
        [past] = [one for one in retention.past_webinars(conn, now) if one.webinar == "w"]

    def chunk() -> int | None:
        return ledger.database.in_transaction(lambda conn: retention.remove(conn, now, past, 1))

    ledger.govern(MOVED, waits=True, now=now)
    assert chunk() is None, "after the look"
    ledger.sql("UPDATE webinar SET waiting_id = NULL, waiting_since = NULL, takes_effect_at = NULL")
    while people_of(ledger) == 4:
        assert chunk()
    ledger.govern(MOVED, waits=waits, now=now)
    assert chunk() is None, "between chunks"
    purge(ledger, now, one)
    assert people_of(ledger) == 3
    ledger.plan(now + timedelta(minutes=10))
    purge(ledger, now + timedelta(minutes=10), one)
    assert people_of(ledger) == 4, "whose row is there is taken in again"


# What


@both
def test_personal_data_goes_and_counts_and_suppressions_stay(ledger: Ledger) -> None:
    ledger.sql("INSERT INTO suppression (address_folded, since) VALUES ('z@example.org', :now)", now=PLANNED)
    ledger.sql("INSERT INTO confirmed_elsewhere VALUES ('w', 'maya.s@example.org')")
    chooses(ledger, "w")
    before = counts(ledger)
    assert everywhere(ledger.database, HERS, besides=["registrants"])

    announced_and_removed(ledger)

    assert everywhere(ledger.database, HERS, besides=["registrants"]) == []
    assert counts(ledger) == before
    assert ledger.sql("SELECT address_folded FROM suppression") == [("z@example.org",)]
    assert ledger.sql("SELECT * FROM mailed_link") == []
    assert ledger.sql("SELECT count(*) FROM registrants") == [(5,)]
    for table in ("attempt", "told", "invitation"):
        assert ledger.sql(f"SELECT count(*) FROM {table}") == [(1,)], "of the webinar that is still ahead"
    assert ledger.sql("SELECT people FROM purge") == [(4,)]


def test_a_kill_at_any_place_loses_no_count_and_leaves_nobody(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, done, fails_at = counts(ledger), False, 0
    purge(ledger, ANNOUNCED)
    chunk = retention.remove

    class Killed(Exception):
        pass

    def killed(*given: Any) -> int | None:
        nonlocal steps
        rows = chunk(*given[:-1], 2)
        steps += 1
        if steps == fails_at:
            raise Killed
        return rows

    monkeypatch.setattr(purger, "remove", killed)
    while not done:
        steps, fails_at = 0, fails_at + 1
        try:
            purge(ledger, KEPT_UNTIL)
            done = True
        except Killed:
            assert counts(ledger) == before
    assert fails_at > 3
    assert counts(ledger) == before
    assert everywhere(ledger.database, HERS, besides=["registrants"]) == []
    assert ledger.sql("SELECT people FROM purge WHERE purged_at IS NOT NULL") == [(4,)]


# What does not come back


@both
def test_no_reload_and_no_edit_takes_the_rows_in_again(ledger: Ledger) -> None:
    announced_and_removed(ledger)
    ledger.sql("DELETE FROM registrants WHERE webinar = 'w'")
    register(ledger)
    ledger.register("new@example.org")
    ledger.plan(KEPT_UNTIL)
    replan(ledger.database, "w")
    ledger.govern(webinar(title="Another title"))
    ledger.plan(KEPT_UNTIL)
    assert removed(ledger)
    assert ledger.sql("SELECT * FROM row_set_aside") == []
    assert "w" not in ledger.governing


def test_a_service_that_has_not_heard_of_it_takes_none_in_either(ledger: Ledger) -> None:
    before = ledger.governing
    announced_and_removed(ledger)
    ledger.register("new@example.org")
    with ledger.database.transaction() as conn:
        plan(conn, KEPT_UNTIL, before, timedelta(hours=24))
    assert removed(ledger)


def test_a_new_date_after_it_takes_in_those_who_stand_in_the_rows(ledger: Ledger) -> None:
    announced_and_removed(ledger)
    ledger.sql("DELETE FROM registrants WHERE name IS NULL")
    ledger.govern(webinar(again=True, **AGAIN))
    ledger.plan(utc("2026-06-01 08:00"))
    assert ledger.states() | {"confirmation": "pending"} == ledger.states()
    end = utc("2026-07-03 13:00")
    ledger.sql("UPDATE delivery SET state = 'expired' WHERE webinar = 'w'")
    one = purge(ledger, end + timedelta(days=80))
    assert not removed(ledger)
    purge(ledger, end + timedelta(days=83), one)
    purge(ledger, end + timedelta(days=90), one)
    assert removed(ledger)


# Beside the service


@in_loop
async def test_a_service_removes_them_and_does_not_take_the_database_for_set_back(
    tmp_path: Path, sqlite_url: str
) -> None:
    """What it confirmed last may be gone with them."""
    ledger = Ledger(database := Database(sqlite_url))
    async with MailServer() as server:
        service = Service(settings(tmp_path, database, server), database, clock := VirtualClock(PLANNED))
        (tmp_path / "webinars/v.toml").write_text(toml(id="v", languages=["en"], **AGAIN), "utf-8")
        await service.start()
        ledger.register("a@people.test")
        for now in (PLANNED, utc("2025-07-02 07:00"), utc("2025-07-03 10:00"), utc("2025-07-04 08:00"),
                    ANNOUNCED, KEPT_UNTIL + timedelta(minutes=1)):  # fmt: skip
            clock.move_to(now)
            while await service.tick(now):
                pass
            await service.settled()
            if now == ANNOUNCED:
                assert any(note.startswith("Registrants of w") for note in service.readiness().notes)
        ledger.register("b@people.test", webinar="v")
        await service.tick(KEPT_UNTIL + timedelta(minutes=2))
        await service.settled()
        assert removed(ledger)
        assert ledger.states("b@people.test")["confirmation"] == "sent", "not held as restored"
        assert service.readiness().reasons == ()
        assert ("confirmation", "sent", 1) in counts(ledger)
        told = [mail for mail in server.mails if "Personal data is removed" in mail.content.decode()]
        assert len(told) == 1
        await service.stop()
    database.close()


@both
def test_whoever_only_waited_for_a_place_is_removed_as_well(ledger: Ledger) -> None:
    ledger.sql(
        "INSERT INTO signup (webinar, address, address_folded, state, created_at, updated_at)"
        " VALUES ('w', 'ada@who.int', 'ada@who.int', 'waiting', :now, :now)",
        now=PLANNED,
    )
    announced_and_removed(ledger)
    assert everywhere(ledger.database, ["ada@who.int"]) == []
