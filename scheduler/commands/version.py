"""`webinar --version`."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import click
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from scheduler.database.engine import Database, newest_revision
from scheduler.problem import Problems
from scheduler.settings import read_settings
from scheduler.zones.wall import tz_version


def print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    """Print the versions of the program, its schema and the tz database, and the database's schema if it differs."""
    if not wanted or context.resilient_parsing:
        return
    click.echo(
        f"webinar {version('webinar-scheduler')}, schema {newest_revision()}, tz database {tz_version()}"
    )
    if (there := _revision_there()) not in (None, newest_revision()):
        click.echo(f"The database has schema {there}.")
    context.exit()


def _revision_there() -> str | None:
    """The schema of the database; None where there is none that can be read."""
    try:
        url = make_url(read_settings(os.environ).database_url.get_secret_value())
    except Problems:
        return None
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return None
    database = Database(url.render_as_string(hide_password=False))
    try:
        return database.revision()
    except DBAPIError:
        return None
    finally:
        database.close()
