"""`webinar key add|list|remove`: which systems may register people over the API."""

from __future__ import annotations

import sys

import click

from scheduler.clock import SystemClock
from scheduler.commands.common import mistakes_reported, opened_database, settings_of_environment, webinars_of
from scheduler.input.validation import shown
from scheduler.problem import Problem, Problems, nearest
from scheduler.web.api import keys


@click.group()
def key() -> None:
    """Say which systems may register people over the API."""


@key.command()
@click.argument("name")
@click.option("--webinar", "webinar_id", required=True, help="The webinar whose people it registers.")
def add(name: str, webinar_id: str) -> None:
    """Make a key for the system NAME. It is shown now and never again: the database holds only a hash of it."""
    settings = settings_of_environment()
    with mistakes_reported():
        webinars = webinars_of(settings)
        if not keys.NAME.fullmatch(name):
            raise Problems([Problem("NAME", shown(name), "small letters, digits and hyphens, at most 64")])
        if webinar_id not in webinars:
            allowed = ", ".join(sorted(webinars))
            raise Problems([Problem("--webinar", shown(webinar_id), allowed, nearest(webinar_id, webinars))])
    with opened_database(settings) as database, mistakes_reported():
        with database.transaction() as conn:
            made = keys.add(conn, SystemClock().now(), name, webinar_id)
        if made is None:
            words = f"`webinar key remove {name}` takes the old key away"
            raise Problems([Problem("NAME", f"there is a key {shown(name)} already", "another name", words)])
    click.echo(made)
    if not settings.pages_url:
        click.echo("The API is served with the registrants' pages: set PAGES_URL to turn it on.", err=True)


@key.command("list")
def list_() -> None:
    """Show every key: its name, its webinar and since when it works. The keys themselves are not known."""
    with opened_database(settings_of_environment()) as database, database.reading() as conn:
        for one in keys.all_keys(conn):
            since = f"{one.since:%Y-%m-%d %H:%M} UTC"
            click.echo(f"{one.name}\t{one.webinar}\t{since}")


@key.command()
@click.argument("name")
def remove(name: str) -> None:
    """Take a key away. It works no longer. Exit code 1 when there is none."""
    with opened_database(settings_of_environment()) as database, database.transaction() as conn:
        there = keys.remove(conn, name)
    click.echo(f"The key {name} works no longer." if there else f"There is no key {name}.")
    sys.exit(0 if there else 1)
