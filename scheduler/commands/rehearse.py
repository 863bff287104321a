"""`webinar rehearse`."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from scheduler.commands import tables
from scheduler.commands.common import (
    mistakes_reported,
    print_problems,
    read_file,
    templates_dir,
    webinar_file,
)
from scheduler.logs import set_up_logs
from scheduler.problem import Problem, Problems
from scheduler.registrants.files.reading import FileRow, read_rows
from scheduler.reports.json_text import json_text
from scheduler.webinar.model import Webinar, explain_time

SHIPPED = Path("config/webinars/trilateral-2025.toml")
SAMPLE = Path("config/sample-registrants.csv")
SAMPLE_STARTS_AT = datetime(2025, 7, 3, 11, tzinfo=UTC)  # the webinar that the sample's dates belong to
INBOX_PORT = 8025


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=SHIPPED)
@click.option("--registrants", type=click.Path(path_type=Path), help="A CSV; else an invented sample.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("rehearsal"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print deliveries.json instead of tables.")
def rehearse(file: Path, registrants: Path | None, out: Path, as_json: bool) -> None:
    """Rehearse the whole life of a webinar: every mail that every registrant will get, and when.

    Nothing leaves this machine: mails go by SMTP to an inbox of files in OUT, which a browser shows.
    """
    from scheduler.rehearsal import rehearse as rehearse_webinar

    set_up_logs("ERROR")
    with mistakes_reported():
        source, webinar = webinar_file(file)
        rows, notes = _rows(registrants, webinar)
        templates = _templates()
    place = str(registrants or SAMPLE)
    if not as_json:
        click.echo(f"{webinar.title}\n{explain_time(webinar)}")
    with tables.progress(quiet=as_json) as show, mistakes_reported():
        rehearsed = asyncio.run(
            rehearse_webinar(webinar, source, rows, place=place, templates=templates, out=out, progress=show)
        )
    if as_json:
        click.echo(json_text(rehearsed.deliveries))
    else:
        tables.print_deliveries(rehearsed.deliveries)
    imported = rehearsed.imported
    print_problems([*notes, *imported.notes, *imported.rejected])
    for words in (*rehearsed.reasons, *rehearsed.notes):
        click.echo(words, err=True)
    if not as_json:
        mails = [one for one in rehearsed.deliveries if one["state"] == "sent"]
        click.echo(f"\n{len(mails)} mails to {len({one['email'] for one in mails})} people.")
        click.echo(f"Inbox: {rehearsed.index.resolve().as_uri()}")
    if not as_json and sys.stdout.isatty():
        asyncio.run(_serve_inbox(out, webinar, rows, place, templates))
    sys.exit(1 if rehearsed.reasons or imported.rejected else 0)


def _templates() -> Path:
    if not (templates := templates_dir()).is_dir():
        raise Problems([Problem(str(templates), "is no folder", "the folder of the texts (TEMPLATES_DIR)")])
    return templates


def _rows(registrants: Path | None, webinar: Webinar) -> tuple[list[FileRow], list[Problem]]:
    """The rows to rehearse with. The sample's dates are moved to where the webinar is."""
    rows, notes = read_rows(read_file(registrants or SAMPLE), str(registrants or SAMPLE))
    if registrants is None:
        shift = webinar.start - SAMPLE_STARTS_AT
        rows = [
            row._replace(registered_at=row.registered_at + shift) if row.registered_at else row
            for row in rows
        ]
    return rows, notes


async def _serve_inbox(out: Path, webinar: Webinar, rows: list[FileRow], place: str, templates: Path) -> None:
    from scheduler.http.server import WebServer
    from scheduler.web.inbox.rehearsed import rehearsal_app

    app, editor = await asyncio.to_thread(rehearsal_app, out, webinar, rows, place, templates)
    server = WebServer(app, "127.0.0.1", INBOX_PORT)
    try:
        await server.start()
    except OSError:  # a port that is taken is no problem
        server = WebServer(app, "127.0.0.1", 0)
        await server.start()
    editor.answer_to(server.port)
    click.echo(f"Open {server.url} in a browser, {server.url}/templates for the texts. Ctrl-C ends this.")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass
    finally:
        await server.stop()
        await editor.stop()
