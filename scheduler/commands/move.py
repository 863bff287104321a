"""`webinar move`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click
from sqlalchemy.exc import DBAPIError

from scheduler.commands.common import mistakes_reported, settings_of_environment, stop
from scheduler.database.dialect import DatabaseInUse
from scheduler.database.engine import Database, NewerSchema


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def move(file: Path) -> None:
    """Copy a SQLite database into the empty PostgreSQL one of DATABASE_URL."""
    from scheduler.database import moving

    url = settings_of_environment().database_url.get_secret_value()
    if not url.startswith("postgresql"):
        stop("DATABASE_URL is not set to PostgreSQL's address: that is where everything goes.")
    with closing(Database(f"sqlite:///{file.absolute()}")) as source, closing(Database(url)) as target:
        try:
            source.hold_for_service()
            with mistakes_reported():
                counts = moving.move(source, target)
        except (DatabaseInUse, NewerSchema) as error:
            stop(str(error))
        except DBAPIError as error:
            stop((source if hasattr(error.orig, "sqlite_errorname") else target).unusable(error))
    for table, count in counts.items():
        if count:
            click.echo(f"{count:>9}  {table}")
    click.echo(f"All of {file} is in PostgreSQL. Rename the file, so that no service starts on it again.")
