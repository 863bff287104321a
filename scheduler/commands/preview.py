"""`webinar preview`: one mail, as one person would get it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
import pytz

from scheduler.commands.chosen import asked, the_webinar
from scheduler.commands.common import (
    NoDatabase,
    existing_database,
    mistakes_reported,
    print_problems,
    settings_of_environment,
    stop,
    templates_dir,
)
from scheduler.governing.folder import Folder
from scheduler.governing.governor import TEXT_FILES
from scheduler.governing.texts import how_to_begin, sources_of
from scheduler.ledger.states import Why
from scheduler.mail.text.layout import text_path
from scheduler.mail.text.templates import parse_text, read_layout
from scheduler.mail.texts import CurrentText, text_key
from scheduler.mail.trial.runner import check_texts
from scheduler.mail.words.wording import language_name
from scheduler.mail.writing.sample import Format, Reader, compose_sample, in_format, sample_reader
from scheduler.problem import Problem, Problems
from scheduler.reports.looking import untried_texts
from scheduler.reports.previewing import NotRegistered, registered
from scheduler.webinar.model import Webinar


@click.command()
@click.argument("message")
@click.option("--language", metavar="LANGUAGE", help="The language that they want, as en or pt-BR.")
@click.option("--zone", metavar="ZONE", help="Their time zone.")
@click.option("--registrant", metavar="ADDRESS", help="Somebody who is registered; else somebody made up.")
@click.option(
    "--webinar",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The webinar's file, or its id.",
)
@click.option(
    "--format", "wanted", type=click.Choice(["html", "text", "eml"]), default="text", show_default=True
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it into this file.")
def preview(
    message: str,
    language: str | None,
    zone: str | None,
    registrant: str | None,
    file: Path | None,
    wanted: Format,
    out: Path | None,
) -> None:
    """Show one mail as it will leave when it is due in that zone. Nothing is sent.

    Exit code 1 when its text is not sound, or when that person would not get it.
    """
    with mistakes_reported():
        webinar = the_webinar(file, message)
        tag, place = asked(webinar, message, language, zone)
        reader = _registered(webinar, registrant) if registrant is not None else sample_reader(webinar)
        reader = reader.in_zone(place) if place else reader
        reader = replace(reader, language=tag) if tag else reader
        place = place or pytz.timezone(reader.zone)
    with unsound_reported():
        live = text_for(webinar, message, reader.language)
        pages_url = settings_of_environment().pages_url
        mail = compose_sample(webinar, message, reader, place, live, pages_url)
        content = in_format(mail, wanted)
    with mistakes_reported():
        _put(content, out)
    if reader.language and live.language.partition("-")[0] != reader.language.partition("-")[0].lower():
        words = language_name(live.language, "en")
        click.echo(f"There is no text in {reader.language}: the one in {words} stands in.", err=True)
    if why := reader.why_not(webinar, message, place):
        click.echo(f"This person does not get it: {why}.", err=True)
        sys.exit(1)


def _registered(webinar: Webinar, address: str) -> Reader:
    settings = settings_of_environment()
    try:
        with existing_database(settings) as database, database.reading() as conn:
            return registered(conn, webinar, address)
    except (NoDatabase, NotRegistered) as reason:
        stop(f"--registrant: {reason}")


def text_for(webinar: Webinar, message: str, language: str) -> CurrentText:
    """The text that this reader gets, tried as before sending. Raises Problems if it is not sound."""
    root = templates_dir()
    sources = sources_of(Folder(root, TEXT_FILES).read())
    key = text_key(webinar, message, language, sources)
    if key is None:
        place = text_path(root, webinar.text_of[message], webinar.languages[0])
        begin = how_to_begin(webinar, message, root, sources)
        raise Problems(
            [Problem(str(place), "there is no text for this message", "a file with the text", begin)]
        )
    tried = check_texts({key: sources[key]}, [webinar], root)
    if problems := [*tried.problems.get(key, ()), *untried_texts(root, tried)]:
        raise Problems(problems)
    place = text_path(root, *key)
    return CurrentText(parse_text(sources[key], str(place), read_layout(root)), key[1], revision=0)


@contextmanager
def unsound_reported() -> Iterator[None]:
    try:
        yield
    except Problems as error:
        print_problems(error.problems)
        sys.exit(1)
    except Exception as error:  # a value that no mail can hold
        name = type(error).__name__
        click.echo(f"The mail can't be made ({name}); the service would hold it: {Why.DATA}.", err=True)
        sys.exit(1)


def _put(content: bytes, out: Path | None) -> None:
    if out is None:
        click.echo(content, nl=False)
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise Problems([Problem(f"--out {out}", f"can't be written: {error.strerror}", "a file")]) from None
