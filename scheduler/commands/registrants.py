"""`webinar import`, `webinar suppress` and `webinar retry`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy.exc import DBAPIError

from scheduler.clock import SystemClock
from scheduler.commands.common import (
    mistakes_told,
    opened_database,
    opened_file,
    print_problems,
    settings_of_environment,
    stop,
    unusable,
    webinars_of,
)
from scheduler.database.engine import Database
from scheduler.input.addresses import why_no_address
from scheduler.input.validation import shown
from scheduler.ledger.refusals import try_address_again
from scheduler.organizers.folder import webinar_files
from scheduler.problem import Problem, Problems, nearest
from scheduler.registrants.importing import LEFT_OUT, Import, Oddities, Report, import_file
from scheduler.registrants.reading import CsvFile
from scheduler.registrants.rows import RegistrantsUnreadable
from scheduler.registrants.suppression import suppress as suppress_address
from scheduler.settings import Settings
from scheduler.webinar import Webinar


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--webinar", "webinar_id", help="The webinar of rows that do not name one.")
@click.option(
    "--already-confirmed", is_flag=True, help="These people have a confirmation from another system."
)
@click.option(
    "--registered-again", is_flag=True, help="Whoever of these people was forgotten has registered again."
)
def import_(file: Path, webinar_id: str | None, already_confirmed: bool, registered_again: bool) -> None:
    """Import registrants from a CSV. The same file twice changes nothing."""
    settings = settings_of_environment()
    with mistakes_told(), opened_file(file) as opened:
        webinars = webinars_of(settings)
        csv = CsvFile(opened, str(file))
        default = _default_webinar(webinar_id, settings, webinars, csv)
        again = SystemClock().now() if registered_again else None
        asked = Import(str(file), webinars, default, already_confirmed, again)
        with opened_database(settings) as database:
            complete = _import(database, csv, asked, Oddities(str(file), webinars, default))
    sys.exit(0 if complete else 1)


def _import(database: Database, csv: CsvFile, asked: Import, oddities: Oddities) -> bool:
    """Whether all of it is in the database. What is wrong is told by line, while it is found."""
    report, left_out = Report(), 0

    def tell(problem: Problem) -> None:
        nonlocal left_out
        left_out += problem.hint == LEFT_OUT
        print_problems([problem])

    stopped = ""
    try:
        import_file(database, csv, asked, report, tell, oddities.look_at)
    except (DBAPIError, RegistrantsUnreadable, KeyboardInterrupt) as error:
        if not report.through:
            if isinstance(error, RegistrantsUnreadable):
                stop(str(error))
            raise
        stopped = unusable(error) if isinstance(error, DBAPIError) else str(error) or "it was interrupted"
    print_problems([*csv.notes(), *oddities.problems()])
    parts = [f"{report.new} new", f"{report.updated} updated", f"{report.unchanged} unchanged"]
    click.echo(", ".join([*parts, f"{left_out} left out"]))
    if stopped:
        click.echo(
            f"{asked.place}: the import ended at line {report.through}: {stopped}. Run the same again: what is in"
            " the database already stays as it is.",
            err=True,
        )
    return not (stopped or left_out)


def _default_webinar(
    asked: str | None, settings: Settings, webinars: Mapping[str, Webinar], csv: CsvFile
) -> str:
    """The webinar of rows that do not name one; "" where every row must. Raises Problems.

    It is the only one of the folder, but never one of two whose other file is not sound at the moment.
    """
    allowed = ", ".join(sorted(webinars)) or "none: no webinar's file is sound"
    if asked and asked not in webinars:
        raise Problems([Problem("--webinar", shown(asked), allowed, nearest(asked, webinars))])
    if asked or len(list(webinar_files(settings.config_dir / "webinars"))) == len(webinars) == 1:
        return asked or next(iter(webinars))
    with closing(csv.rows()) as rows:
        named = any("webinar" in row.values for row in rows)
    if not named:
        raise Problems([Problem("--webinar", "is not given, and no row names a webinar", allowed)])
    return ""


@click.command()
@click.argument("address")
def suppress(address: str) -> None:
    """Write to ADDRESS no more, for any webinar."""
    settings = settings_of_environment()
    address = _checked(address)
    with opened_database(settings) as database, database.transaction() as conn:
        count = suppress_address(conn, datetime.now(UTC), address)
    click.echo(
        f"Suppressed. It has {count} registration{'s' if count != 1 else ''}; nothing more is sent to it."
    )


@click.command()
@click.argument("address")
def retry(address: str) -> None:
    """Write to ADDRESS again, which a relay refused as unknown: it is right, or was set up since.

    Exit code 1 when no relay refused it so.
    """
    settings = settings_of_environment()
    address = _checked(address)
    with opened_database(settings) as database, database.transaction() as conn:
        registrations, mails = try_address_again(conn, SystemClock().now(), address)
    if not registrations:
        click.echo("No relay refused that address as unknown.", err=True)
        sys.exit(1)
    click.echo(
        f"It is tried again: {registrations} registration{'s' if registrations != 1 else ''}, {mails}"
        f" mail{'s' if mails != 1 else ''} at once, and whatever is still ahead."
    )


def _checked(address: str) -> str:
    """An address without the blanks around it. The command ends with 2 where it is none."""
    address = address.strip()
    if reason := why_no_address(address):
        stop(f"ADDRESS: {reason.replace('email', 'it')}")
    return address
