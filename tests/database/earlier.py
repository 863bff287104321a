"""Databases as earlier versions of this program made them."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from scheduler.database.engine import Database, execute

CONFIG = Config()
CONFIG.set_main_option("script_location", "scheduler/database/migrations")
REVISIONS = [script.revision for script in ScriptDirectory.from_config(CONFIG).walk_revisions()]
"""The newest first."""


def empty(database: Database) -> None:
    """As PostgreSQL's CREATE DATABASE leaves it."""
    with database.engine.begin() as conn:
        if database.dialect.takes_replicas:
            execute(conn, "DROP SCHEMA public CASCADE")
            execute(conn, "CREATE SCHEMA public")
            return
        for table in execute(conn, "SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all():
            if not table.startswith("sqlite_"):
                execute(conn, f'DROP TABLE "{table}"')


def made_by(database: Database, revision: str) -> None:
    """Empty it, and give it the tables of an earlier version."""
    empty(database)
    with database.engine.begin() as conn:
        CONFIG.attributes["connection"] = conn
        command.upgrade(CONFIG, revision)
