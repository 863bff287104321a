"""Commands about one address: `webinar suppress`, `unsuppress`, `resend` and `retry`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import click
from sqlalchemy import Connection

from scheduler.clock import SystemClock
from scheduler.commands.common import (
    mistakes_reported,
    no_webinar,
    opened_database,
    settings_of_environment,
    stop,
)
from scheduler.governing.revisions import Revisions
from scheduler.input.addresses import fold, why_no_address
from scheduler.input.validation import shown
from scheduler.ledger import requests
from scheduler.ledger.planning import Governing
from scheduler.ledger.refusals import retry_address
from scheduler.ledger.requests import CannotSendAgain
from scheduler.problem import Problem, Problems, nearest
from scheduler.registrants.suppression import EVERYTHING

_ONE_WEBINAR = "Only its mails of this webinar."


@click.command()
@click.argument("address")
@click.option("--webinar", "webinar_id", help=_ONE_WEBINAR)
def suppress(address: str, webinar_id: str | None) -> None:
    """Write to ADDRESS no more, for any webinar.

    Of one webinar it is still told that it is cancelled or moved.
    """
    with _asked(address, webinar_id) as (conn, governing, now):
        count = requests.suppress(conn, now, governing, address.strip(), webinar_id or EVERYTHING)
    if webinar_id:
        click.echo(f"Suppressed: of {webinar_id} it is only told that it is cancelled or moved.")
    else:
        click.echo(f"Suppressed. It has {_registrations(count)}; nothing more is sent to it.")


@click.command()
@click.argument("address")
@click.option("--webinar", "webinar_id", help=_ONE_WEBINAR)
def unsuppress(address: str, webinar_id: str | None) -> None:
    """Write to ADDRESS again, which was suppressed or unsubscribed itself.

    Without --webinar a suppression for one webinar stays. Exit code 1 when there was no such suppression.
    """
    with _asked(address, webinar_id) as (conn, governing, now):
        count = requests.unsuppress(conn, now, governing, address.strip(), webinar_id or EVERYTHING)
    if count is None:
        scope = f"of {webinar_id}" if webinar_id else "from all mails"
        click.echo(
            f"That address is not suppressed {scope}; `webinar show` says what it is suppressed from.",
            err=True,
        )
        sys.exit(1)
    click.echo(f"It is written to again: {_registrations(count)}; whatever is still ahead is sent.")


@click.command()
@click.argument("address")
@click.argument("message")
@click.option("--webinar", "webinar_id", help="The webinar, where ADDRESS is registered for several.")
def resend(address: str, message: str, webinar_id: str | None) -> None:
    """Send ADDRESS a MESSAGE of the sequence once more, at once.

    The calendar entry stays the same. Exit code 1 when it can't be sent now.
    """
    with mistakes_reported(), _asked(address, webinar_id) as (conn, governing, now):
        registration, one = _the_registration(conn, governing, address, message, webinar_id)
        try:
            requests.send_again(conn, now, one, registration, message, "organizer")
        except CannotSendAgain as refused:
            click.echo(f"`{message}` of {one.webinar.id} is not sent: {refused}.", err=True)
            sys.exit(1)
    click.echo(f"`{message}` of {one.webinar.id} goes to that address at once.")


def _the_registration(
    conn: Connection, governing: Mapping[str, Governing], address: str, message: str, webinar_id: str | None
) -> tuple[int, Governing]:
    """The one registration of this address, and what governs its webinar. Raises Problems."""
    found = requests.registered(conn, fold(address.strip()))
    here = {
        name: number for name, number in found.items() if name in governing and webinar_id in (None, name)
    }
    if not here:
        raise Problems([Problem("ADDRESS", f"is not registered for {webinar_id or 'any webinar'}")])
    sends = [name for name in sorted(here) if message in _messages(governing[name])]
    if not sends:
        allowed = sorted({one for name in here for one in _messages(governing[name])})
        found_it = f"{shown(message)} is no message of its webinar's sequence"
        raise Problems([Problem("MESSAGE", found_it, ", ".join(allowed), nearest(message, allowed))])
    if len(sends) > 1:
        raise Problems(
            [Problem("--webinar", "is not given, and it is registered for several", ", ".join(sends))]
        )
    return here[sends[0]], governing[sends[0]]


def _messages(one: Governing) -> list[str]:
    return [message.id for message in one.webinar.messages]


@click.command()
@click.argument("address")
def retry(address: str) -> None:
    """Write to ADDRESS again, which a relay refused as unknown: it is right, or was set up since.

    Exit code 1 when no relay refused it so.
    """
    with _asked(address) as (conn, _, now):
        registrations, mails = retry_address(conn, now, address.strip())
    if not registrations:
        click.echo("No relay refused that address as unknown.", err=True)
        sys.exit(1)
    click.echo(
        f"It is tried again: {_registrations(registrations)}, {mails} mail{'s' if mails != 1 else ''} at once, and"
        " whatever is still ahead."
    )


@contextmanager
def _asked(
    address: str, webinar_id: str | None = None
) -> Iterator[tuple[Connection, Mapping[str, Governing], datetime]]:
    """A transaction, what governs, and the time. The command ends with 2 where this is no address or no webinar."""
    settings = settings_of_environment()
    if reason := why_no_address(address.strip()):
        stop(f"ADDRESS: {reason.replace('email', 'it')}")
    with opened_database(settings) as database, database.transaction() as conn:
        governing = Revisions(settings.pages_url).governing(conn)
        if webinar_id is not None and webinar_id not in governing:
            stop(f"--webinar: {no_webinar(conn, webinar_id, sorted(governing))}")
        yield conn, governing, SystemClock().now()


def _registrations(number: int) -> str:
    return f"{number} registration{'' if number == 1 else 's'}"
