"""`webinar rehearse`."""

from __future__ import annotations

import asyncio
import logging
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
from scheduler.zones.wall import WallTimeError, to_utc

if TYPE_CHECKING:
    from scheduler.rehearsal import Play, Rehearsed

SHIPPED = Path("config/webinars/trilateral-2025.toml")
SAMPLE = Path("config/sample-registrants.csv")
SAMPLE_STARTS_AT = datetime(2025, 7, 3, 11, tzinfo=UTC)  # the webinar that the sample's dates belong to
INBOX_PORT, PAGES_PORT = 8025, 8026
PORTS_TRIED = 20


def hold_port(wanted: int) -> socket.socket:
    """This port of the machine's own address if it is free, else the next free one. Nobody else gets it until the
    socket is closed."""
    holder = socket.socket()
    for port in (*range(wanted, wanted + PORTS_TRIED), 0):
        with suppress(OSError):
            holder.bind(("127.0.0.1", port))
            break
    return holder


def number_of(holder: socket.socket) -> int:
    return int(holder.getsockname()[1])


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=SHIPPED)
@click.option("--registrants", type=click.Path(path_type=Path), help="A CSV; else an invented sample.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("rehearsal"), show_default=True)
@click.option(
    "--until",
    metavar="2025-07-01T12:00",
    help="Stop there, by the webinar's clock: the pages to which mails link show that moment.",
)
@click.option("--all", "everything", is_flag=True, help="Print every message, zone and time, too.")
@click.option("--json", "as_json", is_flag=True, help="Print deliveries.json instead.")
def rehearse(
    file: Path,
    registrants: Path | None,
    out: Path,
    until: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Rehearse the whole life of a webinar: every mail that every registrant will get, and when.

    Nothing leaves this machine: mails go by SMTP to an inbox of files in OUT, which a browser shows.
    """
    from scheduler.rehearsal import Play
    from scheduler.rehearsal import rehearse as rehearse_webinar

    set_up_logs("ERROR")
    # What is wrong with a text is printed at the end, and the editor shows it.
    logging.getLogger("scheduler.governing.governor").setLevel(logging.CRITICAL)
    with mistakes_reported():
        source, webinar = webinar_file(file)
        rows, notes = _rows(registrants, webinar)
        templates, end = _templates(), _instant(webinar, until)
    place = str(registrants or SAMPLE)
    if not as_json:
        click.echo(f"{webinar.title}\n{explain_time(webinar)}")
    shows = not as_json and sys.stdout.isatty()
    # Held from now on: the mails link to it, and the rehearsal takes a while.
    pages = hold_port(PAGES_PORT) if shows else None
    pages_url = f"http://127.0.0.1:{number_of(pages)}" if pages else ""
    with tables.progress(quiet=as_json) as show, mistakes_reported():
        play = Play(webinar, source, templates, out, pages_url)
        rehearsed = asyncio.run(rehearse_webinar(play, rows, place=place, until=end, progress=show))
    if as_json:
        click.echo(json_text(rehearsed.deliveries))
    elif everything:
        tables.print_deliveries(rehearsed.deliveries)
    imported = rehearsed.imported
    print_problems([*notes, *imported.notes, *imported.rejected])
    for words in (*rehearsed.reasons, *rehearsed.notes):
        click.echo(words, err=True)
    if not as_json:
        tables.print_summary(rehearsed.deliveries)
    if pages:
        asyncio.run(_serve(play, rehearsed, rows, place, pages))
    elif not as_json:
        click.echo(f"Inbox: {rehearsed.index.resolve().as_uri()}")
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


def _instant(webinar: Webinar, until: str | None) -> datetime | None:
    """The instant at which the webinar's clock shows this time. Raises Problems."""
    if until is None:
        return None
    try:
        wall = datetime.fromisoformat(until)
        if wall.tzinfo:
            raise ValueError
        return to_utc(wall, webinar.tz)
    except WallTimeError as error:
        problem = Problem("--until", str(error), "a time that the webinar's clock shows once")
    except ValueError:
        found = f"`{until}` is not a date and time on the webinar's clock"
        problem = Problem("--until", found, f"such as {webinar.start_wall:%Y-%m-%dT%H:%M}, when it starts")
    raise Problems([problem])


async def _serve(
    play: Play, rehearsed: Rehearsed, rows: list[FileRow], place: str, pages_port: socket.socket
) -> None:
    """Serve the inbox with the editor, and the registrants' pages at the port that is held, until Ctrl-C."""
    from scheduler.http.server import WebServer
    from scheduler.rehearsal import go_on
    from scheduler.web.inbox.rehearsed import rehearsal_app, rehearsal_pages

    app, editor = await asyncio.to_thread(
        rehearsal_app, play.out, play.webinar, rows, place, play.templates, play.pages_url
    )
    of_registrants = rehearsal_pages(play.database, rehearsed.ended_at, play.pages_url)
    with hold_port(INBOX_PORT) as inbox_port, pages_port:
        inbox = WebServer(app, "127.0.0.1", number_of(inbox_port))
        pages = WebServer(of_registrants, "127.0.0.1", number_of(pages_port))
    await pages.start()
    await inbox.start()
    editor.answer_to(inbox.port)
    click.echo(
        f"Open {inbox.url} in a browser, {inbox.url}/templates for the texts. The mails link to the registrants' pages"
        f" at {pages.url}, which show {rehearsed.ended_at:%Y-%m-%d %H:%M} UTC, where the rehearsal ended (--until)."
        " Ctrl-C ends this."
    )
    try:
        await go_on(play, rehearsed)
    except asyncio.CancelledError:
        pass
    finally:
        await pages.stop()
        await inbox.stop()
        await editor.stop()
