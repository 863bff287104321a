"""Links that prove that whoever opens them reads mail at an address."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler import mailed_links
from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.delivery.asked_for import AskedFor
from scheduler.mailed_links import WITHIN, MailedTo, Purpose, TooManyLinks
from tests.smtp_server import in_loop
from tests.support import utc

NOW = utc("2025-06-20 08:00")
HOUR = timedelta(hours=1)


def _make(database: Database, after: timedelta = timedelta(), subject: int = 7) -> str:
    with database.transaction() as conn:
        to = MailedTo(subject, f"person-{subject}@who.int")
        return mailed_links.make(conn, NOW + after, Purpose.DATA, to, valid_for=HOUR, most=3)


def _subject(
    database: Database, token: str, after: timedelta = timedelta(), purpose: Purpose = Purpose.DATA
) -> int | None:
    with database.reading() as conn:
        found = mailed_links.find(conn, NOW + after, purpose, token)
        assert found in (None, MailedTo(7, "person-7@who.int"))
        return found and found.subject_id


def test_a_link_leads_to_its_subject_until_it_expires(database: Database) -> None:
    token = _make(database)
    assert _subject(database, token, timedelta(minutes=59)) == 7
    assert _subject(database, token, HOUR) is None


@pytest.mark.parametrize("change", [str.upper, lambda token: token[:-1], lambda token: token + "0", lambda _: "0" * 40,
                                    lambda _: "", lambda _: "é" * 40, lambda token: token + "\n"])  # fmt: skip
def test_a_token_that_was_changed_or_guessed_leads_nowhere(database: Database, change: object) -> None:
    token = _make(database)
    assert callable(change)
    assert _subject(database, change(token)) is None


def test_a_link_serves_one_purpose(database: Database) -> None:
    assert _subject(database, _make(database), purpose=Purpose.CONFIRM) is None


def test_the_database_does_not_know_the_token(database: Database) -> None:
    token = _make(database)
    with database.reading() as conn:
        assert token not in conn.exec_driver_sql("SELECT token_sha256 FROM mailed_link").scalar_one()


def test_a_subject_gets_three_links_a_day_and_others_theirs(database: Database) -> None:
    for minutes in range(3):
        _make(database, timedelta(minutes=minutes))
    with pytest.raises(TooManyLinks):
        _make(database, WITHIN - timedelta(seconds=1))
    _make(database, subject=8)
    _make(database, WITHIN)


def test_links_that_were_ended_lead_nowhere_and_still_count(database: Database) -> None:
    tokens = [_make(database) for _ in range(3)]
    with database.transaction() as conn:
        mailed_links.end(conn, NOW + timedelta(minutes=1), Purpose.DATA, 7)
    assert [_subject(database, token, timedelta(minutes=1)) for token in tokens] == [None] * 3
    with pytest.raises(TooManyLinks):
        _make(database, timedelta(minutes=2))


@in_loop
async def test_links_are_removed_a_day_after_they_expired(database: Database) -> None:
    _make(database)
    _make(database, HOUR, subject=8)
    clock = VirtualClock(NOW + WITHIN + HOUR)
    asked_for = AskedFor(database, clock, [], lambda address: True)
    await asked_for.send()
    assert _subjects(database) == [7, 8]
    clock.move_to(NOW + WITHIN + HOUR + timedelta(seconds=1))
    await asked_for.send()
    assert _subjects(database) == [8]


def _subjects(database: Database) -> list[int]:
    with database.reading() as conn:
        return list(conn.exec_driver_sql("SELECT subject_id FROM mailed_link ORDER BY subject_id").scalars())


def test_whoever_is_forgotten_leaves_no_links(database: Database) -> None:
    token = _make(database)
    _make(database, subject=8)
    with database.transaction() as conn:
        assert mailed_links.forget(conn, "person-7@who.int") == 1
    assert _subject(database, token) is None
