"""`webinar run`."""

from __future__ import annotations

import asyncio

import click
import structlog
from sqlalchemy.exc import DBAPIError

from scheduler.commands.common import settings_of_environment, stop, unusable
from scheduler.database.dialect import DatabaseInUse
from scheduler.database.engine import NewerSchema
from scheduler.logs import set_up_logs

log = structlog.get_logger()


@click.command()
def run() -> None:
    """Run the service until SIGTERM. Settings come from the environment."""
    from scheduler.ledger.statements import StatementFails
    from scheduler.running import run_service

    settings = settings_of_environment()
    set_up_logs(settings.log_level)
    if "smtp_host" not in settings.model_fields_set:
        log.warning("SMTP_HOST is not set: mails go to a relay on this machine", port=settings.smtp_port)
    try:
        asyncio.run(run_service(settings))
    except (DatabaseInUse, NewerSchema, StatementFails, OSError) as error:
        stop(str(error))
    except DBAPIError as error:
        stop(unusable(error))
