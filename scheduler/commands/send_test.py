"""`webinar send-test`: one mail, as somebody would get it, to yourself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import click
import pytz

from scheduler.commands.chosen import asked, the_webinar
from scheduler.commands.common import mistakes_told, settings_of_environment, stop
from scheduler.commands.preview import text_for, unsound_told
from scheduler.delivery.relay import Pool, send_one
from scheduler.editor.test_mail import as_test, marked, to_oneself
from scheduler.input.addresses import why_no_address
from scheduler.input.validation import shown
from scheduler.problem import Problem, Problems
from scheduler.reports.previewing import composed, made_up
from scheduler.settings import Settings


@click.command("send-test")
@click.argument("address")
@click.option("--message", metavar="MESSAGE", help="Which message; else the webinar's first.")
@click.option("--language", metavar="LANGUAGE", help="In which language, as en or pt-BR.")
@click.option("--zone", metavar="ZONE", help="As read in this time zone.")
@click.option(
    "--webinar", "file", type=click.Path(path_type=Path), metavar="FILE", help="The webinar's file."
)
def send_test(
    address: str, message: str | None, language: str | None, zone: str | None, file: Path | None
) -> None:
    """Send one mail to ADDRESS, marked as a test, with a calendar entry of its own. Nothing is recorded.

    Exit code 1 when its text is not sound, or when the relay does not take it.
    """
    settings = settings_of_environment()
    with mistakes_told():
        if why := why_no_address(address):
            raise Problems([Problem("ADDRESS", f"{shown(address)}: {why}", "an e-mail address")])
        webinar = the_webinar(file)
        wanted = message or webinar.message_ids[0]
        tag, place = asked(webinar, wanted, language, zone)
    reader = made_up(webinar)
    reader = reader.in_zone(place) if place else reader
    reader = to_oneself(replace(reader, language=tag) if tag else reader, webinar, address)
    if not settings.only_to_allows(address):
        stop(f"ONLY_TO does not allow {address}.")
    with unsound_told():
        live = text_for(webinar, wanted, reader.language)
        mail = composed(as_test(webinar), wanted, reader, place or pytz.timezone(reader.zone), live)
    subject = str(message_from_bytes(mail, policy=default)["Subject"])
    failed = asyncio.run(_send(settings, webinar.sender.address, address, marked(mail, subject)))
    if failed:
        click.echo(f"The relay did not take it: {failed}", err=True)
        raise SystemExit(1)
    click.echo(f"{wanted} was sent to {address}, marked as a test.")


async def _send(settings: Settings, sender: str, address: str, mail: bytes) -> str:
    pools = [Pool(relay) for relay in settings.relays]
    try:
        return await send_one(pools, sender, address, mail)
    finally:
        await asyncio.gather(*(pool.close() for pool in pools))
