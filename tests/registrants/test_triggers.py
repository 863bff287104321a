"""Whatever happens to the table's triggers, each row is absorbed, or an operator gets a message with the fix."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import make_url

from scheduler.database.engine import Database
from scheduler.readiness import Kind, Reason
from scheduler.registrants.again import replan
from scheduler.registrants.triggers import TRIGGERS, check_intake
from tests.support import Ledger, utc, webinar

ANNOUNCED = utc("2025-06-12 08:00")
LATER = utc("2025-06-12 09:00")


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar(), webinar(id="v"))
    return ledger


def definitions(ledger: Ledger) -> dict[str, str]:
    query = (
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger"
        " WHERE tgrelid = CAST('registrants' AS regclass) AND NOT tgisinternal"
        if ledger.database.dialect.takes_replicas
        else "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'registrants'"
    )
    return {row[0]: " ".join(row[1].split()) for row in ledger.sql(query)}


def ours(ledger: Ledger) -> dict[str, str]:
    return TRIGGERS[ledger.database.engine.dialect.name]


def lose(ledger: Ledger, *names: str) -> None:
    """As a migration does that makes the table again; all triggers where none is named."""
    for name in names or ours(ledger):
        on = " ON registrants" if ledger.database.dialect.takes_replicas else ""
        ledger.sql(f"DROP TRIGGER {name}{on}")


def restore(ledger: Ledger) -> None:
    """As their owner would."""
    with ledger.database.transaction() as conn:
        for sql in ours(ledger).values():
            conn.exec_driver_sql(sql)


def test_the_migrated_triggers_are_those_that_are_restored(ledger: Ledger) -> None:
    migrated = definitions(ledger)
    lose(ledger)
    assert check_intake(ledger.database) == ()
    assert definitions(ledger) == migrated


def test_nothing_is_written_where_nothing_is_wrong(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.register("no address")
    ledger.register("a@example.org", "unknown")
    ledger.plan(ANNOUNCED)
    assert check_intake(ledger.database) == ()
    assert ledger.sql("SELECT * FROM registrant_change") == []


def test_looking_waits_for_no_writer(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert check_intake(database) == ()
    database.close()


def test_edits_while_a_trigger_was_missing_are_absorbed(ledger: Ledger) -> None:
    for name in "abc":
        ledger.register(f"{name}@example.org")
    ledger.plan(ANNOUNCED)
    lose(ledger)
    ledger.sql("UPDATE registrants SET timezone = 'Asia/Tokyo' WHERE email = 'a@example.org'")
    ledger.sql("DELETE FROM registrants WHERE email = 'b@example.org'")
    ledger.register("d@example.org")
    ledger.plan(LATER)
    assert ledger.states("d@example.org") == {}
    assert check_intake(ledger.database) == ()
    ledger.plan(LATER)
    zones = {row.address: row.zone for row in ledger.sql("SELECT * FROM registration WHERE gone_at IS NULL")}
    assert zones == {
        "a@example.org": "Asia/Tokyo", "c@example.org": "Europe/Zurich", "d@example.org": "Europe/Zurich"
    }  # fmt: skip


def test_rows_of_a_load_with_triggers_disabled_are_found(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    bad = ledger.register("no address")
    ledger.plan(ANNOUNCED)
    lose(ledger)
    ledger.register("b@example.org")
    ledger.register("c@example.org", "unknown")
    ledger.sql("DELETE FROM registrants WHERE email IN ('a@example.org', 'no address')")
    restore(ledger)
    assert check_intake(ledger.database) == ()
    assert len(ledger.sql("SELECT * FROM registrant_change")) == 3
    assert check_intake(ledger.database) == ()
    assert len(ledger.sql("SELECT * FROM registrant_change")) == 3, "what waits already is not noted twice"
    ledger.plan(LATER)
    living = ledger.sql("SELECT address FROM registration WHERE gone_at IS NULL")
    assert [row.address for row in living] == ["b@example.org"]
    assert bad not in {row.registrant_id for row in ledger.sql("SELECT registrant_id FROM row_set_aside")}


def test_rows_of_a_webinar_that_has_ended_are_not_looked_for(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE webinar SET status = 'ended' WHERE webinar = 'w'")
    lose(ledger)
    ledger.register("b@example.org")
    ledger.sql("DELETE FROM registrants WHERE email = 'a@example.org'")
    restore(ledger)
    check_intake(ledger.database)
    assert ledger.sql("SELECT * FROM registrant_change") == []


def test_a_table_that_was_rebuilt_gets_its_triggers_and_its_index_again(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.sql(
        "CREATE TABLE rebuilt (id INTEGER PRIMARY KEY, webinar TEXT NOT NULL, email TEXT NOT NULL, name TEXT)"
    )
    ledger.sql(
        "INSERT INTO rebuilt (id, webinar, email, name) SELECT id, webinar, email, name FROM registrants"
    )
    ledger.sql("INSERT INTO rebuilt (id, webinar, email) VALUES (99, 'w', 'b@example.org')")
    ledger.sql("DROP TABLE registrants")
    ledger.sql("ALTER TABLE rebuilt RENAME TO registrants")
    assert check_intake(ledger.database) == ()
    ledger.plan(LATER)
    assert set(ledger.states("b@example.org").values()) == {"pending"}
    ledger.register("c@example.org", id=100)
    ledger.plan(LATER)
    assert set(ledger.states("c@example.org").values()) == {"pending"}
    assert len(definitions(ledger)) == len(ours(ledger))


def test_an_index_that_rows_stand_against_is_told_with_its_sql(ledger: Ledger) -> None:
    ledger.sql("DROP INDEX registrants_one_address")
    for _ in range(2):
        ledger.register("a@example.org")
    (reason,) = check_intake(ledger.database)
    assert reason.kind is Kind.INDEX
    assert reason.words.startswith(
        "registrants has lost its unique index on addresses: one address may register twice"
    )
    assert reason.words.endswith(
        "the table's owner can: CREATE UNIQUE INDEX registrants_one_address ON registrants (webinar, lower(email))"
    )
    assert "a@example.org" not in reason.words


def test_a_missing_column_is_reported(ledger: Ledger) -> None:
    ledger.sql("ALTER TABLE registrants RENAME COLUMN email TO mail")
    words = "new registrations are not taken in: registrants has no column email"
    assert check_intake(ledger.database) == (Reason(Kind.COLUMNS, words),)


# PostgreSQL's own


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Ledger]:
    database = Database(postgresql_url)
    ledger = Ledger(database)
    ledger.govern(webinar())
    yield ledger
    database.close()


def test_a_row_whose_address_is_no_utf_8_ends_no_look_for_rows(sqlite_url: str) -> None:
    """It sorts after what it is read as."""
    database = Database(sqlite_url)
    ledger = Ledger(database)
    ledger.govern(webinar())
    no_utf_8 = "CAST(x'fc40622e6f7267' AS TEXT)"
    ledger.sql(f"INSERT INTO registrants (webinar, email) VALUES ('w', 'a@x.org'), ('w', {no_utf_8})")
    ledger.sql("DELETE FROM registrant_change")
    assert replan(database, "w") == 2
    assert [row.registrant_id for row in ledger.sql("SELECT * FROM registrant_change ORDER BY 1")] == [1, 2]
    database.close()


@pytest.mark.parametrize("form", ['{"q": "\\u0000"}', '{"q": "\\ud83d"}', '{"q": 1e400000}'])
def test_nothing_else_in_a_row_keeps_its_owner_from_writing_it(postgresql: Ledger, form: str) -> None:
    postgresql.sql("ALTER TABLE registrants ADD COLUMN form json")
    postgresql.sql(
        "INSERT INTO registrants (webinar, email, form) VALUES ('w', 'a@x.org', CAST(:form AS json))",
        form=form,
    )
    postgresql.sql("UPDATE registrants SET name = 'A'")
    changes = postgresql.sql("SELECT webinar, operation FROM registrant_change ORDER BY id")
    assert changes == [("w", "I"), ("w", "U")]


def test_writes_with_another_search_path_are_noticed(postgresql: Ledger) -> None:
    with postgresql.database.transaction() as conn:
        conn.exec_driver_sql("SET LOCAL search_path = ''")
        conn.exec_driver_sql("INSERT INTO public.registrants (webinar, email) VALUES ('w', 'a@x.org')")
    assert postgresql.sql("SELECT webinar FROM registrant_change") == [("w",)]


def test_triggers_that_were_left_disabled_are_enabled(postgresql: Ledger) -> None:
    postgresql.sql("ALTER TABLE registrants DISABLE TRIGGER ALL")
    postgresql.register("a@example.org")
    assert check_intake(postgresql.database) == ()
    postgresql.register("b@example.org")
    postgresql.plan(ANNOUNCED)
    assert len(postgresql.sql("SELECT * FROM registration")) == 2


def test_rows_that_were_written_as_a_replica_writes_them_are_found(postgresql: Ledger) -> None:
    with postgresql.database.transaction() as conn:
        conn.exec_driver_sql("SET LOCAL session_replication_role = replica")
        conn.exec_driver_sql("INSERT INTO registrants (webinar, email) VALUES ('w', 'a@example.org')")
    assert check_intake(postgresql.database) == ()
    postgresql.plan(ANNOUNCED)
    assert len(postgresql.sql("SELECT * FROM registration")) == 1


def test_who_does_not_own_the_table_says_what_its_owner_must_run_and_finds_new_rows(
    postgresql: Ledger, postgresql_url: str
) -> None:
    role = f"service_{uuid.uuid4().hex}"
    postgresql.sql(f"CREATE ROLE {role} LOGIN")
    postgresql.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
    postgresql.sql("ALTER TABLE registrants DISABLE TRIGGER registrants_changed")
    postgresql.register("a@example.org")
    service = Database(make_url(postgresql_url).set(username=role).render_as_string(hide_password=False))
    try:
        (reason,) = check_intake(service)
        assert reason.kind is Kind.TRIGGER
        assert reason.words == (
            "changes of registrants are not noticed: trigger registrants_changed is disabled; the service could"
            " not restore it (InsufficientPrivilege), the table's owner can: ALTER TABLE registrants ENABLE TRIGGER"
            " registrants_changed, then `webinar replan`"
        )
        postgresql.plan(ANNOUNCED)
        assert len(postgresql.sql("SELECT * FROM registration")) == 1
    finally:
        service.close()
        postgresql.sql(f"DROP OWNED BY {role}")
        postgresql.sql(f"DROP ROLE {role}")
