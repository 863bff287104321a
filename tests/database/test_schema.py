"""The migrated schema equals that of the models, on both engines."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from scheduler.database import engine
from scheduler.database.engine import Database, execute
from tests.database.earlier import REVISIONS


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_migrated_schema_has_the_tables_columns_and_indexes_of_the_models(database: Database) -> None:
    with database.engine.connect() as conn:
        differences = compare_metadata(
            MigrationContext.configure(conn, opts={"compare_type": False}), SQLModel.metadata
        )
    by_hand = {"alembic_version", "registrants_one_address"}  # the latter: an index that SQLite can't reflect
    assert [d for d in differences if getattr(d[1], "name", "") not in by_hand] == []


def test_one_address_registers_once_for_a_webinar_whatever_its_case(database: Database) -> None:
    with database.transaction() as conn:
        execute(
            conn,
            "INSERT INTO registrants (webinar, email) VALUES ('w', 'a@example.org'), ('v', 'a@example.org')",
        )
    with pytest.raises(IntegrityError), database.transaction() as conn:
        execute(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', 'A@example.org')")


def test_the_files_of_the_migrations_are_named_by_their_order() -> None:
    assert engine._revisions() == tuple(reversed(REVISIONS))


def test_migrating_twice_changes_nothing(database: Database) -> None:
    before = inspect(database.engine).get_table_names()
    database.migrate()
    assert inspect(database.engine).get_table_names() == before


def test_every_write_to_registrants_leaves_a_change_for_the_planner(database: Database) -> None:
    with database.transaction() as conn:
        execute(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', 'a@example.org')")
        execute(conn, "UPDATE registrants SET name = 'A'")
        execute(conn, "DELETE FROM registrants")
        changes = execute(conn, "SELECT registrant_id FROM registrant_change ORDER BY id").scalars().all()
    assert len(changes) == 3
    assert len(set(changes)) == 1


def test_an_id_is_never_used_twice(database: Database) -> None:
    insert = "INSERT INTO registrants (webinar, email) VALUES ('w', 'a@example.org') RETURNING id"
    with database.transaction() as conn:
        first = execute(conn, insert).scalar_one()
        execute(conn, "DELETE FROM registrants")
        second = execute(conn, insert).scalar_one()
    assert second > first
