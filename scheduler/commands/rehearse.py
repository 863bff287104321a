"""`webinar rehearse`."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from scheduler.rehearsal import Rehearsed

SHIPPED = Path("config/webinars/trilateral-2025.toml")
SAMPLE = Path("config/sample-registrants.csv")
SAMPLE_STARTS_AT = datetime(2025, 7, 3, 11, tzinfo=UTC)  # the webinar that the sample's dates belong to
INBOX_PORT, PAGES_PORT = 8025, 8026


def free_port(wanted: int) -> int:
    """This port of the machine's own address if nothing listens there, else any that is free."""
    for port in (wanted, 0):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return int(tried.getsockname()[1])
    raise OSError("no free port")


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
    shows = not as_json and sys.stdout.isatty()
    pages_port = free_port(PAGES_PORT) if shows else 0
    pages_url = f"http://127.0.0.1:{pages_port}" if shows else ""
    with tables.progress(quiet=as_json) as show, mistakes_reported():
        rehearsed = asyncio.run(
            rehearse_webinar(
                webinar, source, rows,
                place=place, templates=templates, out=out, pages_url=pages_url, progress=show,
            )
        )  # fmt: skip
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
    if shows:
        asyncio.run(_serve(rehearsed, webinar, rows, place, templates, pages_port))
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


async def _serve(
    rehearsed: Rehearsed, webinar: Webinar, rows: list[FileRow], place: str, templates: Path, pages_port: int
) -> None:
    """Serve the inbox with the editor, and the registrants' pages, until Ctrl-C."""
    from scheduler.http.server import WebServer
    from scheduler.web.inbox.rehearsed import rehearsal_app, rehearsal_pages

    out, pages_url = rehearsed.out, f"http://127.0.0.1:{pages_port}"
    app, editor = await asyncio.to_thread(rehearsal_app, out, webinar, rows, place, templates, pages_url)
    inbox = WebServer(app, "127.0.0.1", free_port(INBOX_PORT))
    pages = WebServer(
        rehearsal_pages(out, webinar, rehearsed.database, rehearsed.ended_at, pages_url),
        "127.0.0.1",
        pages_port,
    )
    await inbox.start()
    await pages.start()
    editor.answer_to(inbox.port)
    click.echo(
        f"Open {inbox.url} in a browser, {inbox.url}/templates for the texts. The registrants' pages, to which the"
        f" mails link, show the end of the rehearsal, {rehearsed.ended_at:%Y-%m-%d %H:%M} UTC. Ctrl-C ends this."
    )
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass
    finally:
        await pages.stop()
        await inbox.stop()
        await editor.stop()
