"""`webinar import` and `webinar suppress`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
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
from scheduler.input.addresses import why_no_address
from scheduler.input.validation import shown
from scheduler.problem import Problem, Problems, nearest
from scheduler.registrants.importing import Report, import_rows, language_notes, zone_notes
from scheduler.registrants.reading import CsvRow, read_csv
from scheduler.registrants.suppression import suppress as suppress_address
from scheduler.settings import Settings
from scheduler.webinar import Webinar


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
        rows, notes = read_csv(read_file(file), str(file))
        default = _default_webinar(webinar_id, settings, webinars, rows)
    with opened_database(settings) as database, database.transaction() as conn:
        report = import_rows(
            conn,
            rows,
            str(file),
            webinars=webinars,
            default_webinar=default,
            already_confirmed=already_confirmed,
        )
    told = [*zone_notes(rows, str(file), webinars, default), *language_notes(rows, str(file))]
    _print_report(report, [*notes, *told])
    sys.exit(1 if report.rejected else 0)


def _default_webinar(
    asked: str | None, settings: Settings, webinars: Mapping[str, Webinar], rows: Iterable[CsvRow]
) -> str:
    """The webinar of rows that do not name one; "" where every row must. Raises Problems.

    It is the only one of the folder, but never one of two whose other file is not sound at the moment.
    """
    allowed = ", ".join(sorted(webinars)) or "none: no webinar's file is sound"
    if asked and asked not in webinars:
        raise Problems([Problem("--webinar", shown(asked), allowed, nearest(asked, webinars))])
    if asked or len(list((settings.config_dir / "webinars").glob("*.toml"))) == len(webinars) == 1:
        return asked or next(iter(webinars))
    if not any("webinar" in row.values for row in rows):
        raise Problems([Problem("--webinar", "is not given, and no row names a webinar", allowed)])
    return ""


@click.command()
@click.argument("address")
def suppress(address: str) -> None:
    """Write to ADDRESS no more, for any webinar."""
    settings = settings_of_environment()
    address = address.strip()
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
