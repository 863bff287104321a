"""`webinar zone`: shows how a time zone and a country are understood, as people and systems write them."""

from __future__ import annotations

import json
from datetime import datetime

import click
import pytz

from scheduler.clock import SystemClock
from scheduler.commands.chosen import config_dir, instant_asked
from scheduler.commands.common import mistakes_reported, webinar_file
from scheduler.commands.tables import utc_words
from scheduler.governing.folder import webinar_files
from scheduler.problem import Problem, Problems, nearest
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import ResolvedZone, zone_of


@click.command("zone", context_settings={"ignore_unknown_options": True})  # -05:00 is a text
@click.argument("text", default="")
@click.option("--country", metavar="COUNTRY", help="The country beside it: a code or a name.")
@click.option("--webinar", "webinar_id", metavar="ID", help="The webinar at whose start it is asked.")
@click.option(
    "--at", metavar="INSTANT", help="The moment for which it is asked, instead of a webinar's start."
)
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
def zone_command(
    text: str, country: str | None, webinar_id: str | None, at: str | None, as_json: bool
) -> None:
    """Show which time zone TEXT means, and how that is known.

    The moment is the start of the only webinar, or now.
    """
    with mistakes_reported():
        if webinar_id is not None and at is not None:
            raise Problems([Problem("--at", "is given beside --webinar", "one of the two")])
        instant = instant_asked(at, "--at") if at is not None else None
        webinar = _webinar(webinar_id)
    if instant is None:
        instant = webinar.start if webinar else SystemClock().now()
    found = zone_of(text, country, webinar.tz if webinar else pytz.utc, instant)
    zone = found.zone if webinar or found.known_by != "webinar" else None
    if as_json:
        said = {"zone": zone, "known_by": found.known_by, "because": _because(found)}
        click.echo(json.dumps(said, ensure_ascii=False, indent=1))
        return
    click.echo(f"{zone or 'no zone'} ({found.known_by}): {_because(found)}")
    click.echo(f"At {_moment(instant, webinar)}.", err=True)


def _webinar(wanted: str | None) -> Webinar | None:
    """The webinar of this id, or the only one there is. Raises Problems where there is none of this id."""
    webinars: dict[str, Webinar] = {}
    for file in webinar_files(config_dir() / "webinars"):
        try:
            webinar = webinar_file(file)[1]
        except Problems:
            continue
        webinars[webinar.id] = webinar
    if wanted is None:
        return next(iter(webinars.values())) if len(webinars) == 1 else None
    if wanted not in webinars:
        allowed = ", ".join(sorted(webinars)) or "an id of a sound file in CONFIG_DIR/webinars"
        raise Problems(
            [Problem("--webinar", f"`{wanted}` is no webinar", allowed, nearest(wanted, webinars))]
        )
    return webinars[wanted]


def _because(found: ResolvedZone) -> str:
    return "; ".join(part for part in (found.because, found.problem) if part)


def _moment(instant: datetime, webinar: Webinar | None) -> str:
    begins = f", when {webinar.id} begins" if webinar and webinar.start == instant else ""
    return f"{utc_words(instant)} UTC{begins}"
