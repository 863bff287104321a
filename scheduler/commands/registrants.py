"""`webinar import` and `webinar suppress`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from scheduler.commands.common import (
    mistakes_told,
    opened_database,
    print_problems,
    read_file,
    settings_of_environment,
    stop,
    webinars_of,
)
from scheduler.problem import Problem, Problems
from scheduler.registrants.importing import Report, import_rows, read_csv
from scheduler.registrants.rows import why_no_address
from scheduler.registrants.suppression import suppress as suppress_address


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--webinar", "webinar_id", help="The webinar of rows that do not name one.")
@click.option(
    "--already-confirmed", is_flag=True, help="These people have a confirmation from another system."
)
def import_(file: Path, webinar_id: str | None, already_confirmed: bool) -> None:
    """Import registrants from a CSV. The same file twice changes nothing."""
    settings = settings_of_environment()
    with mistakes_told():
        webinars = webinars_of(settings)
        default = webinar_id or (next(iter(webinars)) if len(webinars) == 1 else "")
        if webinar_id and webinar_id not in webinars:
            raise Problems([Problem("--webinar", f"`{webinar_id}`", ", ".join(sorted(webinars)))])
        rows, notes = read_csv(read_file(file), str(file))
    with opened_database(settings) as database, database.transaction() as conn:
        report = import_rows(
            conn,
            rows,
            str(file),
            webinars=webinars,
            default_webinar=default,
            already_confirmed=already_confirmed,
        )
    _print_report(report, notes)
    sys.exit(1 if report.rejected else 0)


@click.command()
@click.argument("address")
def suppress(address: str) -> None:
    """Write to ADDRESS no more, for any webinar."""
    settings = settings_of_environment()
    if reason := why_no_address(address):
        stop(f"ADDRESS: {reason.replace('email', 'it')}")
    with opened_database(settings) as database, database.transaction() as conn:
        count = suppress_address(conn, datetime.now(UTC), address)
    click.echo(
        f"Suppressed. It has {count} registration{'s' if count != 1 else ''}; nothing more is sent to it."
    )


def _print_report(report: Report, notes: list[Problem]) -> None:
    print_problems([*notes, *report.notes, *report.rejected])
    parts = [f"{report.new} new", f"{report.updated} updated", f"{report.unchanged} unchanged"]
    click.echo(", ".join([*parts, f"{len(report.rejected)} left out"]))
