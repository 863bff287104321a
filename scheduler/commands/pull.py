"""`webinar pull`: reads a source; run by hand, and by the service in a child process."""

from __future__ import annotations

import os
import sys

import click

from scheduler.clock import SystemClock
from scheduler.commands import tables
from scheduler.commands.common import (
    no_webinar,
    opened_database,
    print_problems,
    settings_of_environment,
    stop,
    webinars_of,
)
from scheduler.database.engine import Database
from scheduler.governing.revisions import Revisions
from scheduler.pulling.process import limit_child
from scheduler.pulling.pull import Pull, PullReport
from scheduler.pulling.reading import Access
from scheduler.registrants import sources
from scheduler.registrants.sources import Overtaken
from scheduler.reports.json_text import json_text
from scheduler.settings import Settings
from scheduler.webinar.model import Webinar


@click.command("pull")
@click.argument("webinar_id", metavar="WEBINAR")
@click.option("--dry-run", is_flag=True, help="Only show what differs, by the webinar's file as it is now.")
@click.option("--accept", is_flag=True, help="Follow it though people, or much of what it said, are missing.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--run", "token", hidden=True, default="", help="The pull that the service has begun.")
def pull_command(webinar_id: str, dry_run: bool, accept: bool, as_json: bool, token: str) -> None:
    """Read the source of WEBINAR now, and let its registrants follow it.

    Exit code 1 when it can't be read, or is not followed in all; 2 when it could not begin.
    """
    if token:
        limit_child()
    settings = settings_of_environment()
    with opened_database(settings) as database:
        now, access = SystemClock().now(), Access.of(settings, os.environ)
        webinar = _of_file(settings, webinar_id) if dry_run else _governing(database, webinar_id)
        if webinar.source is None:
            stop(f"{webinar_id}: its file has no [source].")
        if webinar.end <= now and not (dry_run or token):
            over = f"{webinar_id} is over, since {webinar.end:%Y-%m-%d %H:%M} UTC"
            stop(f"{over}: its registrants stay as they are, so that they get what follows.")
        pull = Pull(database, webinar, access, now, accept)
        report = pull.look() if dry_run else _follow(pull, token)
    _print(report, webinar_id, dry_run=dry_run, as_json=as_json)
    sys.exit(1 if report.trouble or (report.found and report.found.errors.count) else 0)


def _of_file(settings: Settings, webinar_id: str) -> Webinar:
    webinars = webinars_of(settings)
    if webinar_id not in webinars:
        stop(f"there is no sound file of `{webinar_id}`; allowed: {', '.join(sorted(webinars)) or 'none'}")
    return webinars[webinar_id]


def _governing(database: Database, webinar_id: str) -> Webinar:
    """The governing webinar. Ends the command if it is not pulled."""
    with database.reading() as conn:
        governing = Revisions().governing(conn)
        if webinar_id not in governing:
            stop(
                f"{no_webinar(conn, webinar_id, governing)}; `webinar run` takes a new file in once `webinar check`"
                " finds no error in it"
            )
    webinar = governing[webinar_id].webinar
    if webinar.source is None:
        stop(f"{webinar_id}: its file has no [source].")
    if webinar.status != "live":
        stop(f"{webinar_id} is a draft: only --dry-run reads its source.")
    if webinar.cancelled:
        stop(f"{webinar_id} is cancelled: its registrants stay as they are, so that they are notified.")
    return webinar


def _follow(pull: Pull, token: str) -> PullReport:
    database, name = pull.database, pull.webinar.id
    if token:
        with database.reading() as conn:
            run = sources.begun(conn, name, token)
    else:
        run = database.in_transaction(lambda conn: sources.begin(conn, pull.now, name))
    if run is None:
        stop("another pull of this webinar has begun")
    try:
        return pull.follow(run)
    except Overtaken as reason:
        stop(str(reason))


def _print(report: PullReport, webinar_id: str, *, dry_run: bool, as_json: bool) -> None:
    found, done = report.found, report.done
    counts = {"new": done.new, "updated": done.updated, "gone": done.gone, "known_otherwise": done.others}
    if found and dry_run:
        counts = {"new": found.new, "updated": found.changed, "gone": len(found.gone)}
    people: dict[str, object] = (
        {"people": found.people, "left_out": found.left_out, "errors": found.errors.count} if found else {}
    )
    columns = report.seen.columns if report.seen else ()
    if as_json:
        if report.seen:
            read = [{"header": one.header, "read_as": one.read_as, "because": one.because} for one in columns]
            people |= {"columns": read, "rows_left_out": [str(one) for one in report.seen.problems]}
        said = {"webinar": webinar_id, "changed": found is not None, **people, **counts}
        click.echo(json_text(said | {"trouble": report.trouble, "note": report.note}))
        return
    if report.seen:
        read_as = [(one.header, one.read_as or "-", one.because) for one in columns]
        tables.print_table(("column",), ("header", "read as", "because"), read_as)
        print_problems(report.seen.problems)
    for words in filter(None, (report.trouble, report.note)):
        click.echo(f"the source of {webinar_id}: {words}", err=True)
    if found:
        counted = {**people, **counts}
        click.echo(", ".join(f"{n} {_named(name, n)}" for name, n in counted.items()))
    elif not report.trouble:
        click.echo("Nothing has changed.")


def _named(name: str, number: object) -> str:
    one = {"people": "person", "errors": "error"} if number == 1 else {}
    return one.get(name, name).replace("_", " ")
