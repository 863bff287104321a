"""A ledger moves from SQLite to PostgreSQL: nothing is lost, and nothing happens twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, inspect, select
from sqlmodel import SQLModel

from scheduler.cli import main
from scheduler.database.engine import Database, execute
from scheduler.database.moving import move
from scheduler.problem import Problems
from tests.database.earlier import empty, made_by
from tests.support import Ledger, utc, webinar

NOW = utc("2025-06-12 08:00")


@pytest.fixture
def old(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture
def new(postgresql_url: str) -> Iterator[Database]:
    database = Database(postgresql_url)
    yield database
    database.close()


def filled(database: Database) -> Ledger:
    """Two people, one of whom has had a mail, and a row in each table that planning leaves empty."""
    ledger = Ledger(database)
    ledger.govern(webinar())
    ledger.register("maya@who.int", name="Māyā", country="NP", registered_at="2025-06-01 10:00:00")
    ledger.register("jo@who.int", timezone="Europe/Paris", registered_at="2025-06-01T10:00:00+02:00")
    ledger.plan(NOW)
    ledger.set("confirmation", "sent")
    with database.transaction() as conn:
        for table in SQLModel.metadata.sorted_tables:
            if table.name not in ("registrant_change", "service") and not conn.execute(select(table)).first():
                conn.execute(insert(table).values({c.name: _some(c) for c in table.columns}))
    return ledger


def _some(column: Any) -> Any:
    kind = column.type.python_type
    return {int: 7, str: "x", bytes: b"\0\xff", bool: True, float: 1.5}.get(kind, NOW)


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.reading() as conn:
        return {
            table.name: sorted((tuple(row) for row in conn.execute(select(table))), key=repr)
            for table in SQLModel.metadata.sorted_tables
        }


def test_every_row_of_every_table_is_there(old: Database, new: Database) -> None:
    filled(old)
    empty(new)  # as CREATE DATABASE leaves it
    counts = move(old, new)
    there, before = contents(new), contents(old)
    assert there | {"registrants": []} == before | {"registrants": []}
    assert [row[:8] for row in there["registrants"]] == [row[:8] for row in before["registrants"]]
    times = [utc("2025-06-01 10:00"), utc("2025-06-01 08:00")]
    assert [row[8] for row in there["registrants"]] == times, "without an offset in UTC"
    assert counts == {name: len(rows) for name, rows in there.items()}
    assert {name for name, count in counts.items() if not count} == {"registrant_change", "service"}
    with old.reading() as conn:
        tables = {name for name in inspect(conn).get_table_names() if not name.startswith("sqlite_")}
    assert tables - {"alembic_version"} == counts.keys(), "also those that nobody has written to yet"


def test_new_rows_get_ids_that_were_never_used(old: Database, new: Database) -> None:
    ledger = filled(old)
    gone = ledger.register("gone@who.int")
    ledger.sql("DELETE FROM registrants WHERE id = :id", id=gone)
    move(old, new)
    assert Ledger(new).register("next@who.int") == gone + 1
    with new.transaction() as conn:
        for table in SQLModel.metadata.sorted_tables:
            if "id" in table.c and table.name != "registrants":
                row = {c.name: _some(c) for c in table.columns if c.name != "id"} | _unique(table.name)
                highest = execute(conn, f"SELECT coalesce(max(id), 0) FROM {table.name}").scalar_one()
                made = conn.execute(insert(table).values(row).returning(table.c.id)).scalar_one()
                assert made > highest, table.name


def _unique(table: str) -> dict[str, Any]:
    others: dict[str, dict[str, Any]] = {
        "delivery": {"registration_id": 99},
        "invitation": {"uid": "another"},
        "signup": {"address_folded": "another"},
    }
    return others.get(table, {})


def test_nobody_is_planned_or_written_to_again(old: Database, new: Database) -> None:
    """And the triggers are there for what is written from now on."""
    before = filled(old).states()
    move(old, new)
    ledger = Ledger(new)
    assert ledger.sql("SELECT * FROM registrant_change") == ledger.sql("SELECT 1 WHERE FALSE")
    ledger.revisions._read[1] = webinar()  # the stored source is empty in these tests
    ledger.plan(NOW)
    assert ledger.states() == before
    ledger.register("late@who.int")
    ledger.plan(NOW)
    assert ledger.states("late@who.int")["confirmation"] == "pending"
    assert ledger.states("maya@who.int")["confirmation"] == "sent"


def test_columns_of_the_tables_owner_come_along_once_they_are_there(old: Database, new: Database) -> None:
    ledger = filled(old)
    ledger.sql('ALTER TABLE registrants ADD "job: title" TEXT')
    ledger.sql("ALTER TABLE registrants ADD seats INTEGER")
    ledger.sql("UPDATE registrants SET seats = 2, \"job: title\" = 'Nurse'".replace(":", "\\:"))
    with pytest.raises(Problems, match="has columns that the one on PostgreSQL lacks: job: title, seats"):
        move(old, new)
    there = Ledger(new)
    assert there.sql("SELECT count(*) FROM delivery") == [(0,)]
    there.sql('ALTER TABLE registrants ADD "job: title" TEXT, ADD seats BIGINT'.replace(":", "\\:"))
    move(old, new)
    found = there.sql('SELECT DISTINCT "job\\: title", seats FROM registrants')
    assert found == [("Nurse", 2)]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("registered_at", "12/06/2025 10:00", "registrants, row 2: registered_at is no time"),
        ("name", "a\0b", "registrants, row 2: PostgreSQL rejects it"),
        ("webinar", None, "registrants, row 2: PostgreSQL rejects it"),
    ],
)
def test_a_row_that_postgresql_does_not_take_is_named_and_nothing_is_copied(
    old: Database, new: Database, column: str, value: Any, words: str
) -> None:
    ledger = filled(old)
    if value is None:
        ledger.sql("CREATE TABLE others AS SELECT * FROM registrants")
        ledger.sql("DROP TABLE registrants")
        ledger.sql("ALTER TABLE others RENAME TO registrants")
    ledger.sql(f"UPDATE registrants SET {column} = :value WHERE id = 2", value=value)
    with pytest.raises(Problems) as raised:
        move(old, new)
    assert words in str(raised.value)
    assert not value or value not in str(raised.value)
    assert Ledger(new).sql("SELECT count(*) FROM registrants") == [(0,)]
    assert Ledger(new).sql("SELECT DISTINCT tgenabled FROM pg_trigger WHERE NOT tgisinternal") == [("O",)]


def test_a_database_that_is_in_use_takes_nothing(old: Database, new: Database) -> None:
    filled(old)
    move(old, new)
    before = contents(new)
    with pytest.raises(Problems, match="is in use: registrants has rows; allowed: an empty one"):
        move(old, new)
    assert contents(new) == before


def test_a_database_of_an_earlier_version_is_brought_up_to_date_first(old: Database, new: Database) -> None:
    made_by(old, "0012")
    with pytest.raises(Problems, match="is of an earlier version"):
        move(old, new)


def test_the_command(old: Database, new: Database) -> None:
    filled(old)
    file = str(old.engine.url.database)
    there = new.engine.url.render_as_string(hide_password=False)
    environ = {"SMTP_HOST": None, "DATABASE_URL": None}
    refused = CliRunner().invoke(main, ["move", file], env=environ)
    assert (refused.exit_code, "DATABASE_URL is not set to PostgreSQL" in refused.output) == (2, True)
    old.hold_for_service()
    runs = CliRunner().invoke(main, ["move", file], env=environ | {"DATABASE_URL": there})
    assert (runs.exit_code, "stop it first" in runs.output) == (2, True)
    old.close()
    done = CliRunner().invoke(main, ["move", file], env=environ | {"DATABASE_URL": there})
    assert done.exit_code == 0, done.output
    assert "        2  registrants\n" in done.output
    again = CliRunner().invoke(main, ["move", file], env=environ | {"DATABASE_URL": there})
    assert (again.exit_code, "is in use" in again.output) == (2, True)


def test_a_registration_system_needs_the_privileges_that_the_operators_page_names(new: Database) -> None:
    page = Path("docs/operator.md").read_text("utf-8")
    named = re.search(r"needs\s+((?:[A-Z]+(?:, | and )?)+) on `(\w+)`, and ([A-Z]+) on `(\w+)`", page)
    assert named
    with new.engine.connect() as conn, conn.begin() as transaction:
        execute(conn, "CREATE ROLE registering")
        execute(conn, f"GRANT {named[1].replace(' and ', ', ')} ON {named[2]} TO registering")
        execute(conn, f"GRANT {named[3]} ON {named[4]} TO registering")
        execute(conn, "SET LOCAL ROLE registering")
        execute(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', 'a@who.int')")
        execute(conn, "UPDATE registrants SET name = 'A' WHERE email = 'a@who.int'")
        execute(conn, "DELETE FROM registrants WHERE email = 'a@who.int'")
        execute(conn, "RESET ROLE")
        assert execute(conn, "SELECT count(*) FROM registrant_change").scalar_one() == 3
        transaction.rollback()
