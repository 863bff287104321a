"""`webinar timeline`: what goes out when, in any zone, before anybody has registered."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

import click

from scheduler.commands.chosen import chosen_webinars, instant_asked, zone_asked
from scheduler.commands.common import mistakes_reported
from scheduler.commands.tables import local_words, on_terminal, print_table, printable, utc_words
from scheduler.problem import Problem, Problems
from scheduler.reports.timeline import Entry, default_zones, rule_in_words, timeline
from scheduler.reports.timeline_svg import timeline_svg
from scheduler.webinar.model import Webinar, explain_time
from scheduler.zones.wall import Zone, to_local


@click.command("timeline")
@click.argument("file", type=click.Path(path_type=Path), required=False, metavar="[WEBINAR.toml]")
@click.option(
    "--zone", "zones", multiple=True, metavar="ZONE", help="A time zone; may be given several times."
)
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
    with mistakes_reported():
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
    else:
        for webinar, found in timelines:
            _print(webinar, found)
    if svg:
        click.echo(f"Picture: {svg.resolve().as_uri()}", err=True)
    sys.exit(0 if complete else 1)


def _asked(zones: Iterable[str], registered_at: str | None) -> tuple[list[Zone], datetime | None]:
    """The values of the options. Raises Problems with all mistakes."""
    found: dict[Zone, None] = {}
    instant: datetime | None = None
    problems: list[Problem] = []
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


def _print(webinar: Webinar, entries: Sequence[Entry]) -> None:
    """Tables on a terminal: the webinar's time in each zone, then one for each message; in a pipe a line for each
    entry."""
    if not on_terminal():
        for entry in entries:
            print_table((webinar.id, entry.message), (), [_line(entry)])
        return
    local = to_local(webinar.start, webinar.tz)
    click.secho(f"\n{printable(webinar.title)}", bold=True)
    click.echo(f"{local:%A} {local.day} {local:%B %Y}, {explain_time(webinar)}")
    by_zone = {entry.zone: entry for entry in entries}
    print_table((), ("zone", "offset", "the webinar there"), map(_start, by_zone.values()))
    rules = {message.id: rule_in_words(message) for message in webinar.messages}
    for message, group in groupby(entries, key=lambda entry: entry.message):
        click.echo(f"\n{click.style(message, bold=True)}: {rules[message]}", nl=False)
        print_table((), ("zone", "due there", "due (UTC)", "state"), map(_due, group))


def _start(entry: Entry) -> tuple[str, ...]:
    shift = f" ({entry.date_shift:+d} day)" if entry.date_shift else ""
    whole_days = entry.end_local - entry.start_local >= timedelta(days=1)
    end = f" – {_hour(entry.end_local)}" if whole_days else f"–{entry.end_local:%H:%M}"
    return entry.zone, f"UTC{entry.utc_offset}", f"{_hour(entry.start_local)}{end}{shift}"


def _due(entry: Entry) -> tuple[str, ...]:
    if entry.due_at is None or entry.due_local is None:
        return entry.zone, "at once", "at once", _state(entry)
    return entry.zone, _hour(entry.due_local), _hour(entry.due_at.astimezone(UTC)), _state(entry)


def _line(entry: Entry) -> tuple[str, ...]:
    """For programs that want no JSON: zone, due (UTC), due there, useful until (UTC), start and end there, state."""
    return (
        entry.zone,
        utc_words(entry.due_at.astimezone(UTC)) if entry.due_at else "at once",
        local_words(entry.due_local) if entry.due_local else "at once",
        utc_words(entry.expires_at),
        local_words(entry.start_local),
        local_words(entry.end_local),
        _state(entry),
    )


def _hour(moment: datetime) -> str:
    return f"{moment:%a %d %b %H:%M:%S}" if moment.second else f"{moment:%a %d %b %H:%M}"


def _state(entry: Entry) -> str:
    return f"{entry.state}: {entry.reason}" if entry.reason else str(entry.state)
