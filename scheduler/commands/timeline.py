"""`webinar timeline`: what goes out when, in any zone, before anybody has registered."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from scheduler.commands.chosen import chosen_webinars, instant_asked, zone_asked
from scheduler.commands.common import mistakes_told
from scheduler.problem import Problem, Problems
from scheduler.timeline import Entry, default_zones, rule_in_words, timeline
from scheduler.timeline_svg import timeline_svg
from scheduler.timezones import Zone
from scheduler.webinar import Webinar, explain_time

@click.command("timeline")
@click.argument("file", type=click.Path(path_type=Path), required=False, metavar="[WEBINAR.toml]")
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="A time zone; may be given several times.")
@click.option(
    "--registered-at", metavar="INSTANT", help="For somebody who registers then: what is past is skipped."
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects, one a message and zone.")
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Draw it into this file, too.")
def timeline_command(
    file: Path | None, zones: tuple[str, ...], registered_at: str | None, as_json: bool, svg: Path | None
) -> None:
    """Show what goes out when, by message and zone: for one webinar, or all.

    Without --zone: the webinar's own zone and a dozen around the world.
    """
    with mistakes_told():
        asked, instant = _asked(zones, registered_at)
        webinars, complete = chosen_webinars(file)
        if svg and len(webinars) > 1:
            raise Problems([Problem("--svg", f"{len(webinars)} webinars", "one: name its file")])
        timelines = [
            (webinar, timeline(webinar, asked or default_zones(webinar), instant))
            for webinar in webinars.values()
        ]
        if svg:
            _write(svg, timeline_svg(*timelines[0]))
    if as_json:
        entries = [entry.as_json() for _, found in timelines for entry in found]
        click.echo(json.dumps(entries, ensure_ascii=False, indent=1))
    elif sys.stdout.isatty():
        for webinar, found in timelines:
            _print_table(webinar, found)
    else:
        for _, found in timelines:
            _print_lines(found)
    if svg:
        click.echo(f"Picture: {svg.resolve().as_uri()}", err=True)
    sys.exit(0 if complete else 1)


def _asked(zones: Iterable[str], registered_at: str | None) -> tuple[list[Zone], datetime | None]:
    """What the options mean. Raises Problems with all mistakes."""
    found: dict[Zone, None] = {}
    instant, problems = None, []
    for name in zones:
        try:
            found[zone_asked(name)] = None
        except Problems as error:
            problems += error.problems
    try:
        instant = instant_asked(registered_at) if registered_at is not None else None
    except Problems as error:
        problems += error.problems
    if problems:
        raise Problems(problems)
    return list(found), instant


def _write(path: Path, picture: str) -> None:
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise Problems([Problem(f"--svg {path}", f"can't be written: {error.strerror}", "a file")]) from None


def _print_lines(entries: Iterable[Entry]) -> None:
    """For a pipe: webinar, message, zone, due (UTC), due there, of use until (UTC), start there, state."""
    for entry in entries:
        click.echo("\t".join((entry.webinar, entry.message, entry.zone, *_cells(entry), _state(entry))))


def _print_table(webinar: Webinar, entries: Sequence[Entry]) -> None:
    console = Console(highlight=False)
    console.print(f"\n{webinar.title}", style="bold", markup=False)
    console.print(explain_time(webinar), markup=False)
    rules = {message.id: rule_in_words(message) for message in webinar.messages}
    for message, group in groupby(entries, key=lambda entry: entry.message):
        console.print(f"\n[bold]{message}[/]  [dim]{rules[message]}[/]")
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
        headings = ("zone", "due (UTC)", "on the clock there", "of use until (UTC)", "webinar there", "state")
        for heading in headings:
            table.add_column(heading, no_wrap=heading not in ("zone", "state"))
        for entry in group:
            colour = "yellow" if entry.reason else "green"
            table.add_row(entry.zone, *_cells(entry), f"[{colour}]{_state(entry)}[/]")
        console.print(table)


def _cells(entry: Entry) -> tuple[str, str, str, str]:
    start, end = entry.start_local, entry.end_local
    shift = f" ({entry.date_shift:+d} day)" if entry.date_shift else ""
    until = f"{end:%H:%M}" if start.date() == end.date() else _moment(end)
    return (
        _moment(entry.due_at) if entry.due_at else "at once",
        f"{_moment(entry.due_local)} UTC{entry.due_local.isoformat()[-6:]}" if entry.due_local else "at once",
        _moment(entry.expires_at),
        f"{_moment(start)}–{until} UTC{entry.utc_offset}{shift}",
    )


def _moment(moment: datetime) -> str:
    seconds = ":%S" if moment.second else ""
    return f"{moment:%a %d %b %Y %H:%M}{moment.strftime(seconds)}"


def _state(entry: Entry) -> str:
    return f"{entry.state}: {entry.reason}" if entry.reason else str(entry.state)
