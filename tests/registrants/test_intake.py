"""The cost of absorbing rows: a fixed number of statements by indexes, and a plan only where it may differ."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from scheduler.database.engine import Database, execute
from scheduler.registrants.changes import Absorbed, absorb_changes
from scheduler.registrants.rows import Registrants, RegistrantsUnreadable
from tests.explaining import full_scans, statements
from tests.support import Ledger, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

ANNOUNCED = utc("2025-06-12 08:00")
LATER = utc("2025-06-12 09:00")
DAY = timedelta(hours=24)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar(), webinar(id="v"))
    return ledger


def take_in(ledger: Ledger, now: datetime = LATER, limit: int | None = None) -> Absorbed:
    """Everything that changed, in batches, without planning. Returns what the last one brought."""
    webinars = {name: one.webinar for name, one in ledger.governing.items()}
    while True:
        with ledger.database.transaction() as conn:
            taken = absorb_changes(conn, now, webinars, DAY, limit=limit)
        if not taken.more:
            return taken


def flagged(ledger: Ledger) -> list[str]:
    """The addresses of those who are to be planned."""
    return [row.address for row in ledger.sql("SELECT address FROM registration WHERE plan = 0 ORDER BY id")]


def many(ledger: Ledger, people: int, webinar: str = "w", first: int = 0) -> None:
    rows = ", ".join(f"('{webinar}', '{n}@example.org', 'Person {n}')" for n in range(first, first + people))
    ledger.sql(f"INSERT INTO registrants (webinar, email, name) VALUES {rows}")


def reload(ledger: Ledger, order: str = "id", columns: str = "webinar, email, name") -> None:
    """DELETE of all and INSERT of all, in one transaction."""
    with ledger.database.transaction() as conn:
        rows = execute(conn, f"SELECT {columns} FROM registrants ORDER BY {order}").all()
        execute(conn, "DELETE FROM registrants")
        names = columns.split(", ")
        values = ", ".join(f":{name}" for name in names)
        for row in rows:
            execute(conn, f"INSERT INTO registrants ({columns}) VALUES ({values})", **row._mapping)


# Whom planning concerns


@pytest.mark.parametrize("limit", [1, 7, 5000])
@pytest.mark.parametrize("order", ["id", "id DESC"])
def test_a_reload_plans_nobody_again_in_any_number_of_batches(ledger: Ledger, limit: int, order: str) -> None:
    many(ledger, 20)
    ledger.plan(ANNOUNCED)
    reload(ledger, order)
    take_in(ledger, limit=limit)
    assert flagged(ledger) == []
    rows = {row.email: row.id for row in ledger.sql("SELECT id, email FROM registrants")}
    stands = {row.address: row.registrant_id for row in ledger.sql("SELECT * FROM registration")}
    assert stands == rows
    assert ledger.sql("SELECT id FROM registration WHERE gone_at IS NOT NULL") == []


@pytest.mark.parametrize("limit", [1, 7, 5000])
def test_a_reload_that_uses_ids_again_plans_only_who_is_new(ledger: Ledger, limit: int) -> None:
    many(ledger, 12)
    ledger.plan(ANNOUNCED)
    with ledger.database.transaction() as conn:
        rows = execute(conn, "SELECT id, email FROM registrants ORDER BY id").all()
        execute(conn, "DELETE FROM registrants")
        people = ["new@example.org", *(row.email for row in rows)]
        ids = [row.id for row in rows] + [rows[-1].id + 1]
        for number, email in zip(ids, people, strict=True):
            sql = "INSERT INTO registrants (id, webinar, email) VALUES (:id, 'w', :email)"
            execute(conn, sql, id=number, email=email)
    take_in(ledger, limit=limit)
    assert flagged(ledger) == ["new@example.org"]
    assert ledger.sql("SELECT id FROM registration WHERE gone_at IS NOT NULL") == []


@pytest.mark.engines("both")
def test_who_is_missing_after_a_reload_is_gone(ledger: Ledger) -> None:
    many(ledger, 9)
    ledger.plan(ANNOUNCED)
    with ledger.database.transaction() as conn:
        execute(conn, "DELETE FROM registrants")
        for n in range(8):
            sql = "INSERT INTO registrants (webinar, email) VALUES ('w', :email)"
            execute(conn, sql, email=f"{n}@example.org")
    take_in(ledger, limit=4)
    assert flagged(ledger) == ["8@example.org"]


def test_who_is_deleted_from_the_row_that_a_reload_gave_them_is_gone(ledger: Ledger) -> None:
    many(ledger, 3)
    ledger.plan(ANNOUNCED)
    reload(ledger)
    webinars = {name: one.webinar for name, one in ledger.governing.items()}
    with ledger.database.transaction() as conn:
        absorb_changes(conn, LATER, webinars, DAY, limit=3)  # the rows that were deleted
    ledger.sql("DELETE FROM registrants WHERE email = '1@example.org'")
    take_in(ledger)
    gone = ledger.sql("SELECT address FROM registration WHERE gone_at IS NOT NULL")
    assert [row.address for row in gone] == ["1@example.org"]


def test_a_reload_with_a_value_that_cannot_be_used_leaves_the_person_s_plan_in_force(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    with ledger.database.transaction() as conn:
        execute(conn, "DELETE FROM registrants")
        execute(
            conn, "INSERT INTO registrants (webinar, email, join_url) VALUES ('w', 'a@example.org', 'none')"
        )
    ledger.plan(LATER)
    assert set(ledger.states().values()) == {"pending"}
    assert len(ledger.sql("SELECT * FROM row_set_aside")) == 1


CHANGES = {
    "a name": ("name = 'Other'", False),
    "a language": ("language = 'fr'", False),
    "letters of the address": ("email = 'A@example.org'", False),
    "a zone by another name": ("timezone = 'Europe/Zurich'", False),
    "the time of registration": ("registered_at = '2025-06-01 00:00:00'", False),
    "nothing": ("name = name", False),
    "a zone": ("timezone = 'Asia/Tokyo'", True),
    "a country": ("country = 'JP'", True),
    "a link": ("join_url = 'https://meet.who.int/mine'", True),
    "an address": ("email = 'b@example.org'", True),
    "another webinar": ("webinar = 'v'", True),
}


@pytest.mark.parametrize(("change", "planned"), CHANGES.values(), ids=CHANGES)
def test_only_what_planning_reads_has_a_person_planned_again(
    ledger: Ledger, change: str, planned: bool
) -> None:
    ledger.register("a@example.org", name="A")
    ledger.plan(ANNOUNCED)
    ledger.sql(f"UPDATE registrants SET {change}")
    take_in(ledger)
    assert bool(flagged(ledger)) == planned
    if "name = 'Other'" in change:
        assert [row.name for row in ledger.sql("SELECT name FROM registration")] == ["Other"]


def test_a_mail_that_was_held_for_a_person_s_data_is_planned_again_when_they_are_edited(
    ledger: Ledger,
) -> None:
    for name in "ab":
        ledger.register(f"{name}@example.org", name=name)
    ledger.plan(ANNOUNCED)
    ledger.sql(
        "UPDATE delivery SET state = 'held', reason = 'data' WHERE message = 'confirmation' AND registration_id ="
        " (SELECT min(id) FROM registration)"
    )
    ledger.sql("UPDATE registrants SET name = 'C'")
    take_in(ledger)
    assert flagged(ledger) == ["a@example.org"]


# The cost of a batch


@pytest.mark.engines("both")
def test_a_batch_is_the_same_number_of_statements_however_many_people_are_in_it(ledger: Ledger) -> None:
    counts = []
    for first, people in ((0, 10), (10, 20), (30, 100)):  # the first meets zones that nobody met before
        for change in ("insert", "UPDATE registrants SET timezone = 'Asia/Tokyo'", "correct", "reload"):
            if change == "insert":
                many(ledger, people, first=first)
            elif change == "correct":
                ledger.sql("UPDATE registrants SET email = 'x' || email")
            elif change == "reload":
                reload(ledger)
            else:
                ledger.sql(change)
            with statements(ledger.database) as executed:
                take_in(ledger)
            counts.append(len(executed))
        ledger.sql("DELETE FROM registrants")
        take_in(ledger)
    assert counts[4:8] == counts[8:]


TABLES = ("registrants", "registrant_change", "row_set_aside", "registration", "zone_evidence", "delivery")


def pretend_to_be_empty(ledger: Ledger) -> None:
    """Statistics as of tables that were analyzed when their rows had gone: PostgreSQL expects one row in them, however
    many came since."""
    if ledger.database.dialect.takes_replicas:
        for table in TABLES:
            sql = "UPDATE pg_class SET relpages = greatest(relpages, 1), reltuples = 0 WHERE oid = CAST(:t AS regclass)"
            ledger.sql(sql, t=table)
            ledger.sql("DELETE FROM pg_statistic WHERE starelid = CAST(:t AS regclass)", t=table)


@pytest.mark.engines("both")
def test_a_batch_looks_everything_up_by_indexes_though_statistics_say_that_its_tables_are_empty(
    ledger: Ledger,
) -> None:
    many(ledger, 1500)
    many(ledger, 1500, "unknown")
    ledger.plan(LATER)
    many(ledger, 1000, first=1500)
    ledger.sql("UPDATE registrants SET timezone = 'Asia/Tokyo' WHERE id % 3 = 0")
    ledger.sql("DELETE FROM registrants WHERE id % 3 = 1")
    pretend_to_be_empty(ledger)
    webinars = {name: one.webinar for name, one in ledger.governing.items()}
    with ledger.database.transaction() as conn, statements(ledger.database) as executed:
        absorb_changes(conn, LATER, webinars, DAY, limit=600)
    scans = []
    with ledger.database.transaction() as conn, conn.begin_nested(), ledger.database.dialect.by_index(conn):
        for sql, values in executed:
            if re.match(r"SELECT set_config|SET LOCAL", sql) or "pg_attribute" in sql or "pg_index" in sql:
                continue
            if "sqlite_master" not in sql:
                scans += [(scan, sql) for scan in full_scans(conn, sql, values, TABLES, aliases="rgd")]
    assert len(executed) > 10
    first_ones = ("EXISTS (SELECT 1 FROM registrant_change)", "FROM registrant_change ORDER BY id LIMIT")
    assert [one for one in scans if not any(first in one[1] for first in first_ones)] == []


def test_rows_of_events_that_are_not_ours_are_set_aside_once(ledger: Ledger) -> None:
    many(ledger, 200, "unknown")
    ledger.plan(ANNOUNCED)
    assert len(ledger.sql("SELECT * FROM row_set_aside")) == 200
    with statements(ledger.database) as executed:
        ledger.register("a@example.org")
        ledger.plan(LATER)
    assert not any("NOT EXISTS (SELECT 1 FROM registrants" in sql for sql, _ in executed)
    reload(ledger)
    take_in(ledger, limit=60)
    rows = {row.id for row in ledger.sql("SELECT id FROM registrants WHERE webinar = 'unknown'")}
    assert {row.registrant_id for row in ledger.sql("SELECT registrant_id FROM row_set_aside")} == rows


# Values of any length


@pytest.mark.engines("both")
def test_of_a_long_value_only_its_beginning_is_read_and_its_row_says_that_it_is_too_long(
    ledger: Ledger,
) -> None:
    long = "é" * 1_000_000
    rows = {
        ledger.register("a@example.org", name=long): "a value is longer than 2000 characters",
        ledger.register(f"{'b' * 2000}@example.org"): "a value is longer than 2000 characters",
        ledger.register("c@example.org", timezone=long): "timezone is longer than 200 characters",
        ledger.register("d@example.org", name=" " * 5000): "a value is longer than 2000 characters",
        ledger.register("e@example.org", name="𝄞" * 2001): "a value is longer than 2000 characters",
    }
    sound = ledger.register("f@example.org", name="𝄞" * 2000)
    ledger.register("g@example.org", "g" * 2500)
    with ledger.database.transaction() as conn:
        read = Registrants(conn).read([*rows, sound])
    assert max(len(value) for row in read for value in row[1:]) <= 8001
    ledger.plan(ANNOUNCED)
    aside = {
        row.registrant_id: row.reason for row in ledger.sql("SELECT * FROM row_set_aside WHERE webinar = 'w'")
    }
    assert aside == rows
    assert [row.address for row in ledger.sql("SELECT address FROM registration")] == ["f@example.org"]


# Changes of the table by its owner


@pytest.mark.engines("both")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("RENAME COLUMN email TO mail", "registrants has no column email"),
        ("RENAME COLUMN webinar TO event", "registrants has no column webinar"),
        ("RENAME TO participants", "there is no table registrants"),
        (
            "ALTER COLUMN webinar TYPE integer USING 1",
            "column webinar of registrants is of type int4, not text",
        ),
    ],
)
def test_without_a_column_that_it_needs_no_row_is_taken_in_and_the_reason_names_it(
    ledger: Ledger, change: str, reason: str
) -> None:
    if "TYPE" in change and not ledger.database.dialect.takes_replicas:
        pytest.skip("SQLite's columns take any type")
    ledger.register("a@example.org")
    ledger.sql(f"ALTER TABLE registrants {change}")
    webinars = {name: one.webinar for name, one in ledger.governing.items()}
    with pytest.raises(RegistrantsUnreadable) as refused, ledger.database.transaction() as conn:
        absorb_changes(conn, LATER, webinars, DAY)
    assert str(refused.value) == f"new registrations are not taken in: {reason}"
    assert len(ledger.sql("SELECT * FROM registrant_change")) == 1


@pytest.mark.parametrize("column", ["name", "language", "timezone", "country", "join_url", "registered_at"])
def test_a_column_that_is_not_there_reads_as_empty(ledger: Ledger, column: str) -> None:
    ledger.sql(f"ALTER TABLE registrants DROP COLUMN {column}")
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    assert set(ledger.states("a@example.org").values()) == {"pending"}


def test_without_its_index_on_addresses_a_reload_still_loses_nobody(ledger: Ledger) -> None:
    many(ledger, 8)
    ledger.plan(ANNOUNCED)
    ledger.sql("DROP INDEX registrants_one_address")
    reload(ledger, "id DESC")
    take_in(ledger, limit=3)
    assert flagged(ledger) == []


# Webinars that have ended


def test_rows_of_an_ended_webinar_are_ignored(ledger: Ledger) -> None:
    rows = [ledger.register(f"{name}@example.org") for name in "abc"]
    ledger.plan(ANNOUNCED)
    before = ledger.deliveries()
    ledger.sql("UPDATE webinar SET status = 'ended' WHERE webinar = 'w'")
    ledger.sql("DELETE FROM registrants WHERE id = :id", id=rows[0])
    ledger.sql("UPDATE registrants SET timezone = 'Asia/Tokyo' WHERE id = :id", id=rows[1])
    ledger.sql("UPDATE registrants SET webinar = 'v' WHERE id = :id", id=rows[2])
    ledger.register("d@example.org")
    ledger.revisions.forget()
    take_in(ledger)
    assert ledger.sql("SELECT * FROM row_set_aside") == []
    assert ledger.sql("SELECT * FROM registrant_change") == []
    assert [
        (row.webinar, row.address) for row in ledger.sql("SELECT * FROM registration WHERE plan = 0")
    ] == [("v", "c@example.org")]
    assert ledger.deliveries() == before
