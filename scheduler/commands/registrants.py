"""`webinar import`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import click
from sqlalchemy.exc import DBAPIError

from scheduler.clock import SystemClock
from scheduler.commands import tables
from scheduler.commands.common import (
    can_ask,
    confirm,
    mistakes_reported,
    opened_database,
    opened_file,
    print_problems,
    settings_of_environment,
    stop,
    webinars_of,
)
from scheduler.database.engine import Database
from scheduler.governing.folder import webinar_files
from scheduler.input.validation import shown
from scheduler.problem import Problem, Problems, nearest
from scheduler.registrants.files.importing import ImportReport, Oddities, import_file
from scheduler.registrants.files.judging import LOST, Grouped, Import, Judgement, Kind
from scheduler.registrants.files.preview import Preview
from scheduler.registrants.files.reading import RegistrantFile
from scheduler.registrants.rows import RegistrantsUnreadable
from scheduler.settings import Settings
from scheduler.webinar.model import Webinar


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--webinar", "webinar_id", help="The webinar of rows that do not name one.")
@click.option("--dry-run", is_flag=True, help="Only show what the file is and what would be imported.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: as JSON.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal when people would be left out.")
@click.option("--table", default="", help="The sheet or table, where the file has several with people.")
@click.option("--counting", multiple=True, metavar="STATUS", help="People of this status come, too.")
@click.option(
    "--already-confirmed", is_flag=True, help="These people have a confirmation from another system."
)
@click.option(
    "--registered-again", is_flag=True, help="Whoever of these people was forgotten has registered again."
)
def import_(
    file: Path,
    webinar_id: str | None,
    dry_run: bool,
    as_json: bool,
    yes: bool,
    table: str,
    counting: Sequence[str],
    already_confirmed: bool,
    registered_again: bool,
) -> None:
    """Import registrants from a CSV, XLSX or ODS, as their system exports them. The same file twice changes nothing."""
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run.")
    settings = settings_of_environment()
    with mistakes_reported(), opened_file(file) as opened:
        webinars = webinars_of(settings)
        people = RegistrantFile(opened, str(file), webinars, table=table, counting=counting)
        default = _default_webinar(webinar_id, settings, webinars, people)
        again = SystemClock().now() if registered_again else None
        asked = Import(str(file), webinars, default, already_confirmed, again)
        preview = Preview(people, asked, webinars)
        if dry_run:
            _show(preview, as_json=as_json)
            sys.exit(1 if preview.loses else 0)
        with opened_database(settings) as database:
            if can_ask() and not yes:
                _ask(preview)
            complete = _import(database, people, asked, Oddities(str(file), webinars, default))
    sys.exit(0 if complete else 1)


def _show(preview: Preview, *, as_json: bool) -> None:
    if as_json:
        for piece in preview.json():
            click.echo(piece, nl=False)
        return
    _print_preview(preview)


def _print_preview(preview: Preview) -> None:
    preview.look()
    file = preview.file
    parts = [file.system or "a system that is not known", *([f"table “{file.table}”"] if file.table else [])]
    click.echo(tables.printable(f"{preview.asked.place}: {', '.join(parts)}"))
    columns = [(one.header, one.read_as or "-", one.because) for one in file.columns]
    tables.print_table(("column",), ("header", "read as", "because"), columns)
    shown = ("line", "email", "name", "zone", "zone_known_by", "language", "status", "role")
    tables.print_table(("row",), shown, [[str(row[name]) for name in shown] for row in preview.first])
    if (more := preview.counts["counts"] - len(preview.first)) > 0:
        click.echo(f"… and {more} more")
    print_problems([*preview.problems, *preview.notes])
    click.echo(f"{preview.counts['counts']} would be registered, {preview.left_out} left out")


def _ask(preview: Preview) -> None:
    """On a terminal, show a preview first, and ask if people would be missing."""
    _print_preview(preview)
    if preview.loses:
        confirm("Some rows can't be used, or their status is not known. Import the others?")


def _import(database: Database, file: RegistrantFile, asked: Import, oddities: Oddities) -> bool:
    """Import; mistakes are reported by line as they are found. Returns whether nobody is missing by mistake."""
    report, counts, grouped = ImportReport(), Counter[Kind](), Grouped(asked.place)

    def left_out(judgement: Judgement) -> None:
        counts[judgement.kind] += 1
        if judgement.kind in ("status", "unknown status"):
            grouped.add(judgement)
        else:
            print_problems([judgement.problem(asked.place)])

    stopped = ""
    try:
        import_file(database, file, asked, report, left_out, oddities.look_at)
    except (DBAPIError, RegistrantsUnreadable, KeyboardInterrupt) as error:
        if not report.through:
            if isinstance(error, RegistrantsUnreadable):
                stop(str(error))
            raise
        stopped = (
            database.unusable(error) if isinstance(error, DBAPIError) else str(error) or "it was interrupted"
        )
    print_problems([*report.rejected, *grouped.problems(), *file.notes(), *oddities.problems()])
    lost = len(report.rejected) + sum(counts[kind] for kind in LOST)
    parts = [f"{report.new} new", f"{report.updated} updated", f"{report.unchanged} unchanged"]
    click.echo(", ".join([*parts, f"{len(report.rejected) + counts.total()} left out"]))
    if stopped:
        click.echo(
            f"{asked.place}: the import ended at line {report.through}: {stopped}. Run the same again: what is in"
            " the database already stays as it is.",
            err=True,
        )
    return not (stopped or lost)


def _default_webinar(
    asked: str | None, settings: Settings, webinars: Mapping[str, Webinar], people: RegistrantFile
) -> str:
    """The webinar of rows that do not name one; "" where every row must. Raises Problems.

    It is the only one of the folder, but never one of two whose other file is not sound at the moment.
    """
    folder = settings.config_dir / "webinars"
    files = list(webinar_files(folder))
    none = (
        "no webinar's file is sound"
        if files
        else f"{folder} holds no webinar; is this the folder of CONFIG_DIR?"
    )
    allowed = ", ".join(sorted(webinars)) or f"none: {none}"
    if asked and asked not in webinars:
        raise Problems([Problem("--webinar", shown(asked), allowed, nearest(asked, webinars))])
    if asked or len(files) == len(webinars) == 1:
        return asked or next(iter(webinars))
    with closing(people.rows()) as rows:
        named = any("webinar" in row.values for row in rows)
    if not named:
        raise Problems([Problem("--webinar", "is not given, and no row names a webinar", allowed)])
    return ""
