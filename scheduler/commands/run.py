"""`webinar run`."""

from __future__ import annotations

import asyncio
import sys

import click
import structlog
from sqlalchemy.exc import DBAPIError

from scheduler.commands.common import settings_of_environment, stop
from scheduler.database.dialect import DatabaseInUse
from scheduler.database.engine import Database, NewerSchema
from scheduler.logs import set_up_logs

log = structlog.get_logger()

CLOSE_SECONDS = 2.0  # for the database to be closed in order


@click.command()
def run() -> None:
    """Run the service until SIGTERM. Settings come from the environment."""
    from scheduler.delivery.marks import StateOfAnother, StateUnreadable
    from scheduler.ledger.statements import StatementFails
    from scheduler.service.process import run_service
    from scheduler.service.signals import end_within
    from scheduler.service.starting import DatabaseAway

    settings = settings_of_environment()
    set_up_logs(settings.log_level)
    if "smtp_host" not in settings.model_fields_set:
        log.warning("SMTP_HOST is not set: mails go to a relay on this machine", port=settings.smtp_port)
    address = settings.address("database_url")
    try:
        database = Database(address.url, address.now)
    except OSError as error:
        stop(str(error))
    runner, words = asyncio.Runner(), ""
    try:
        runner.run(run_service(settings, database))
    except (
        DatabaseInUse, NewerSchema, StatementFails, DatabaseAway, StateUnreadable, StateOfAnother, OSError,
    ) as error:  # fmt: skip
        words = str(error)
    except DBAPIError as error:
        words = database.unusable(error)
    if words:
        click.echo(words, err=True)
    last = end_within(CLOSE_SECONDS, 2 if words else 0)
    database.close()
    runner.close()
    last.cancel()
    sys.exit(2 if words else 0)
