"""`webinar export`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from scheduler.clock import SystemClock
from scheduler.commands.common import opened_database, settings_of_environment, stop
from scheduler.reports.json_text import json_text
from scheduler.reports.personal_data import is_anything, personal_data


@click.command()
@click.argument("address")
@click.option("--json", is_flag=True, expose_value=False, help="As JSON, which it is anyway.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A new file, for nobody else to read.")
def export(address: str, out: Path | None) -> None:
    """Print all that is held of ADDRESS, for that person: registrations, mails, invitations, rows.

    Exit code 1 when nothing is held, 2 when there is no database to look at or FILE can't be made.
    """
    with opened_database(settings_of_environment()) as database, database.reading() as conn:
        held = personal_data(conn, SystemClock().now(), address)
    if out is None:
        click.echo(json_text(held))
    else:
        _write(out, json_text(held) + "\n")
    if not is_anything(held):
        click.echo("Nothing is held of that address.", err=True)
        sys.exit(1)


def _write(out: Path, words: str) -> None:
    """Create the file; never overwrite one, which others may be able to read."""
    try:
        with os.fdopen(
            os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(words)
    except FileExistsError:
        stop(f"{out}: there is a file of that name; allowed: a new one")
    except OSError as error:
        stop(f"{out}: can't be written: {error.strerror}")
