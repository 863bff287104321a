"""`webinar run`."""

from __future__ import annotations

import asyncio

import click
from sqlalchemy.exc import DBAPIError

from scheduler.commands.common import settings_of_environment, stop, unusable
from scheduler.database.dialect import DatabaseInUse
from scheduler.logs import set_up_logs


@click.command()
def run() -> None:
    """Run the service until SIGTERM. Settings come from the environment."""
    from scheduler.running import run_service

    settings = settings_of_environment()
    set_up_logs(settings.log_level)
    try:
        asyncio.run(run_service(settings))
    except (DatabaseInUse, OSError) as error:
        stop(str(error))
    except DBAPIError as error:
        stop(unusable(error))
