"""`webinar replan`: take all rows of `registrants` in again."""

from __future__ import annotations

import click

from scheduler.commands.common import no_webinar, opened_database, settings_of_environment, stop
from scheduler.database.engine import execute
from scheduler.registrants.again import replan
from scheduler.registrants.rows import Registrants, RegistrantsUnreadable


@click.command("replan")
@click.option("--webinar", "webinar_id", metavar="ID", help="Only the rows of this webinar.")
def replan_command(webinar_id: str | None) -> None:
    """Take all rows of registrants in again: what was written where no trigger fires, as by logical replication.

    Whoever has not changed is not planned again, and nobody gets a mail twice.
    """
    with opened_database(settings_of_environment()) as database:
        with database.reading() as conn:
            try:
                Registrants(conn)
            except RegistrantsUnreadable as reason:
                stop(str(reason))
            query = "SELECT webinar FROM webinar WHERE status <> 'ended' ORDER BY webinar"
            known = list(execute(conn, query).scalars())
            if webinar_id and webinar_id not in known:
                stop(f"--webinar: {no_webinar(conn, webinar_id, known)}")
        rows = sum(replan(database, one) for one in ([webinar_id] if webinar_id else known))
    click.echo(
        f"{rows} row{'' if rows == 1 else 's'} to be taken in again; a running service does so within seconds."
    )
