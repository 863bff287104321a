"""`webinar notify`: let an edit that waits take effect now."""

from __future__ import annotations

import sys

import click

from scheduler.clock import SystemClock
from scheduler.commands.common import confirm, no_webinar, opened_database, settings_of_environment, stop
from scheduler.database.engine import one_proposer
from scheduler.governing.notices import notices
from scheduler.governing.revisions import Revisions, take_effect_now


@click.command()
@click.argument("webinar_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def notify(webinar_id: str, yes: bool) -> None:
    """Let what waits of webinar ID take effect now: its people are notified at once.

    Exit code 1 when nothing waits, or the answer was no; 2 when it could not begin.
    """
    settings = settings_of_environment()
    revisions = Revisions(settings.pages_url)
    with opened_database(settings) as database:
        now = SystemClock().now()
        with database.reading() as conn:
            waiting = [
                one
                for one in notices(conn, now, revisions, settings.return_within)
                if one.webinar == webinar_id
            ]
            known = revisions.governing(conn)
            if not waiting and webinar_id not in known:
                stop(f"ID: {no_webinar(conn, webinar_id, known)}")
        if not waiting:
            click.echo(f"Nothing of {webinar_id} waits.", err=True)
            sys.exit(1)
        for one in waiting:
            click.echo(one.words)
        if not yes:
            confirm(f"Notify them now, for {webinar_id}?")
        with database.transaction() as conn:
            one_proposer(conn)
            still = [one for one in notices(conn, now, revisions, settings.return_within) if one in waiting]
            take_effect_now(conn, now, revisions, {one.webinar for one in still})
    if not still:
        click.echo("It changed in the meantime; nothing was sent. Begin again.", err=True)
        sys.exit(1)
    click.echo("It takes effect within seconds, when a service runs.")
