"""`webinar send-test`: one mail, as somebody would get it, to yourself."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from functools import partial
from pathlib import Path

import click
import pytz

from scheduler.commands.chosen import asked, the_webinar
from scheduler.commands.common import (
    NoDatabase,
    existing_database,
    mistakes_reported,
    settings_of_environment,
    stop,
)
from scheduler.commands.preview import text_for, unsound_reported
from scheduler.delivery.relay import Relay, send_one
from scheduler.input.addresses import why_no_address
from scheduler.input.relay_settings import RelaySettings
from scheduler.input.validation import shown
from scheduler.mail.writing.sample import compose_sample, sample_reader
from scheduler.mail.writing.specimen import as_test, marked, to_oneself
from scheduler.problem import Problem, Problems
from scheduler.settings import Settings
from scheduler.smtp.pool import proof_of
from scheduler.state_dir import StateDir


@click.command("send-test")
@click.argument("address")
@click.option("--message", metavar="MESSAGE", help="Which message; else the webinar's first.")
@click.option("--language", metavar="LANGUAGE", help="In which language, as en or pt-BR.")
@click.option("--zone", metavar="ZONE", help="As read in this time zone.")
@click.option(
    "--webinar",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The webinar's file, or its id.",
)
def send_test(
    address: str, message: str | None, language: str | None, zone: str | None, file: Path | None
) -> None:
    """Send one mail to ADDRESS, marked as a test, with a calendar entry of its own. Nothing is recorded.

    Exit code 1 when its text is not sound, or when the relay does not take it.
    """
    settings = settings_of_environment()
    with mistakes_reported():
        if why := why_no_address(address):
            raise Problems([Problem("ADDRESS", f"{shown(address)}: {why}", "an e-mail address")])
        webinar = the_webinar(file, message)
        wanted = message or webinar.message_ids[0]
        tag, place = asked(webinar, wanted, language, zone)
    reader = sample_reader(webinar)
    reader = reader.in_zone(place) if place else reader
    reader = to_oneself(replace(reader, language=tag) if tag else reader, webinar, address)
    if not settings.only_to_allows(address):
        stop(f"ONLY_TO does not allow {address}.")
    with unsound_reported():
        live = text_for(webinar, wanted, reader.language)
        zone_there = place or pytz.timezone(reader.zone)
        mail = compose_sample(as_test(webinar), wanted, reader, zone_there, live, settings.pages_url)
    subject = str(message_from_bytes(mail, policy=default)["Subject"])
    failed = asyncio.run(_send(settings, webinar.sender.address, address, marked(mail, subject)))
    if failed:
        click.echo(f"The relay did not take it: {failed}", err=True)
        raise SystemExit(1)
    click.echo(f"{wanted} was sent to {address}, marked as a test.")


async def _send(settings: Settings, sender: str, address: str, mail: bytes) -> str:
    """Send the mail. It counts toward the relay's limits, and a service that had stopped using the relay learns that
    it takes mails."""
    with ExitStack() as opened:
        database, state = None, StateDir(settings.state_dir)
        if any(one.per_minute or one.per_day for one in settings.relays):
            with suppress(NoDatabase):
                database = opened.enter_context(existing_database(settings))
        relays = [Relay.of(one, database, state) for one in settings.relays]
        for relay, one in zip(relays, settings.relays, strict=True):
            relay.woken = partial(_prove, state, one)
        try:
            failed = await send_one(relays, sender, address, mail)
            return failed.words if failed else ""
        finally:
            await asyncio.gather(*(relay.pool.close() for relay in relays))


def _prove(state: StateDir, relay: RelaySettings) -> None:
    with suppress(OSError):  # then the service tries again by itself, later
        state.write(proof_of(relay), b"")
