"""Replicas that have read different texts are named, after a minute."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from scheduler.database.engine import Database
from scheduler.database.postgresql import PostgreSQL
from scheduler.organizers.replicas import differing, publish
from tests.support import utc

NOW = utc("2025-06-20 08:00")
LATER = NOW + timedelta(minutes=1, seconds=1)
ONE, OTHER = {("reminder-day", "fr"): "un", ("reminder-day", "en"): "one"}, {("reminder-day", "fr"): "deux"}


@pytest.fixture
def conn(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Of a database that the services 1 and 2 are at."""
    monkeypatch.setattr(PostgreSQL, "holders", lambda self, conn: [1, 2])
    database = Database(postgresql_url)
    with database.transaction() as conn:
        yield conn  # type: ignore[misc]
    database.close()


def test_texts_that_differ_for_a_minute_are_named(conn: Connection) -> None:
    publish(conn, NOW, 1, ONE)
    publish(conn, NOW, 2, OTHER | {("reminder-day", "en"): "one"})
    assert differing(conn, NOW + timedelta(seconds=59)) == []
    assert differing(conn, LATER) == ["text reminder-day/fr: replicas have read different versions of it"]
    publish(conn, LATER, 2, ONE)
    assert differing(conn, LATER + timedelta(hours=1)) == []


def test_a_text_that_one_of_them_lacks_is_named(conn: Connection) -> None:
    publish(conn, NOW, 1, ONE)
    publish(conn, NOW, 2, {("reminder-day", "en"): "one"})
    assert differing(conn, LATER) == ["text reminder-day/fr: replicas have read different versions of it"]


def test_a_replica_that_is_gone_counts_no_more(conn: Connection) -> None:
    publish(conn, NOW, 1, ONE)
    publish(conn, NOW, 2, ONE)
    publish(conn, NOW, 3, OTHER)
    assert differing(conn, LATER) == []
    publish(conn, NOW + timedelta(days=2), 1, ONE)
    assert list(conn.exec_driver_sql("SELECT DISTINCT holder FROM text_seen ORDER BY 1").scalars()) == [
        1,
        2,
    ], "what it said is forgotten after a day"


def test_where_there_are_no_replicas_nothing_differs(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.transaction() as conn:
        publish(conn, NOW, 1, ONE)
        assert differing(conn, LATER) == []
    database.close()
