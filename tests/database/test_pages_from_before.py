"""Migration 0019: everybody who is registered gets a key of their own, and suppressions stay what they were."""

from __future__ import annotations

import re

import pytest

from scheduler.database.engine import Database, execute
from tests.database.earlier import made_by
from tests.support import utc

NOW = utc("2025-06-12 08:00")
PEOPLE = 200


@pytest.fixture
def upgraded(database: Database) -> Database:
    """A database with people and a suppression, made by the version before."""
    made_by(database, "0018")
    with database.transaction() as conn:
        for number in range(PEOPLE):
            execute(
                conn,
                "INSERT INTO registration (webinar, address, address_folded, uid, first_seen_at)"
                " VALUES ('w', :address, :address, :address, :now)",
                address=f"{number}@example.org",
                now=NOW,
            )
        execute(
            conn, "INSERT INTO suppression (address_folded, since) VALUES ('7@example.org', :now)", now=NOW
        )
        execute(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', '7@example.org')")
    database.migrate()
    return database


def test_everybody_has_a_key_of_their_own(upgraded: Database) -> None:
    with upgraded.reading() as conn:
        keys = execute(conn, "SELECT key FROM registration").scalars().all()
    assert len(set(keys)) == PEOPLE
    assert all(re.fullmatch("[0-9a-f]{40}", key) for key in keys)


def test_a_suppression_is_of_all_webinars_by_an_organizer(upgraded: Database) -> None:
    with upgraded.reading() as conn:
        (row,) = execute(conn, "SELECT address_folded, webinar, source FROM suppression")
        same = execute(conn, "SELECT count(*) FROM suppression WHERE since = :now", now=NOW).scalar_one()
    assert (row.address_folded, row.webinar, row.source) == ("7@example.org", "", "organizer")
    assert same == 1


def test_rows_of_registrants_stay_and_nobody_has_withdrawn(upgraded: Database) -> None:
    with upgraded.reading() as conn:
        rows = execute(conn, "SELECT email, withdrawn_at FROM registrants").all()
    assert [tuple(row) for row in rows] == [("7@example.org", None)]
