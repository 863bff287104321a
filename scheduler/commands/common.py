"""Parts that all commands share: settings, files, the database, and how mistakes are reported."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NoReturn

import click
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DBAPIError

from scheduler.access import refused
from scheduler.database.engine import Database, NewerSchema, Schema, execute
from scheduler.governing.folder import webinar_files
from scheduler.problem import Problem, Problems
from scheduler.settings import Settings, read_settings
from scheduler.webinar.model import Webinar, read_webinar


def settings_of_environment() -> Settings:
    with mistakes_reported():
        return read_settings(os.environ)


def webinar_file(file: Path) -> tuple[str, Webinar]:
    source = text_of(file)
    return source, read_webinar(source, str(file))


def webinars_of(settings: Settings) -> dict[str, Webinar]:
    """The webinars of the folder, by id. A file that is not sound is reported on stderr and left out."""
    webinars = {}
    for file in webinar_files(settings.config_dir / "webinars"):
        try:
            webinar = webinar_file(file)[1]
        except Problems as error:
            print_problems(error.problems)
        else:
            webinars[webinar.id] = webinar
    return webinars


def templates_dir() -> Path:
    return Path(os.environ.get("TEMPLATES_DIR") or "templates")


def read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Problems([Problem(str(file), f"can't be read: {error.strerror}", "a file")]) from None


@contextmanager
def opened_file(file: Path) -> Iterator[IO[bytes]]:
    """A seekable file; a pipe is copied. Raises Problems."""
    with ExitStack() as stack:
        try:
            opened: IO[bytes] = stack.enter_context(file.open("rb"))
            if not opened.seekable():
                copy = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(opened, copy)
                opened = copy
        except OSError as error:
            raise Problems([Problem(str(file), f"can't be read: {error.strerror}", "a file")]) from None
        yield opened


def text_of(file: Path) -> str:
    try:
        return read_file(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Problems([Problem(str(file), "is not UTF-8", "UTF-8 text")]) from None


class NoDatabase(Exception):
    """There is no database to read yet. Only `webinar run` creates and migrates one."""


class EarlierDatabase(NoDatabase):
    """The database is of an earlier version of this program."""


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """The database, for a command that needs one: the command ends where none can be used."""
    try:
        with existing_database(settings) as database:
            yield database
    except NoDatabase as reason:
        stop(str(reason))


@contextmanager
def existing_database(settings: Settings) -> Iterator[Database]:
    """The database as it is, neither created nor migrated. Raises NoDatabase. The command ends if a newer version has
    migrated it."""
    url = settings.database_url.get_secret_value()
    if (parsed := make_url(url)).get_backend_name() == "sqlite":
        file = Path(parsed.database or "")
        if not _has_content(file):
            raise NoDatabase(f"There is no database yet: `webinar run` makes {file}.")
    database = Database(url)
    try:
        _must_be_current(database.schema())
        yield database
    except NewerSchema as error:
        stop(str(error))
    except DBAPIError as error:
        stop(database.unusable(error))
    finally:
        database.close()


def _has_content(file: Path) -> bool:
    """Whether the file is a database that is not empty. The command ends if this user may not read it, or if it is a
    folder."""
    try:
        if file.is_dir():
            stop(f"{file.absolute()} is a folder: let DATABASE_URL name a file in it")
        return file.is_file() and file.stat().st_size > 0
    except OSError as error:
        stop(refused(file, error, file.parent))


def _must_be_current(schema: Schema) -> None:
    match schema:
        case Schema.NONE:
            raise NoDatabase("The database has no tables yet: `webinar run` makes them.")
        case Schema.EARLIER:
            raise EarlierDatabase(
                "The database is of an earlier version of this program: `webinar run` brings it up to date."
            )


@contextmanager
def mistakes_reported() -> Iterator[None]:
    """A user's mistake is reported in plain lines, and the command ends."""
    try:
        yield
    except Problems as error:
        print_problems(error.problems)
        sys.exit(2)


def no_webinar(conn: Connection, webinar: str, known: Iterable[str]) -> str:
    """Why a command can't act on this webinar, which is not one of `known`."""
    if execute(conn, "SELECT 1 FROM webinar WHERE webinar = :webinar", webinar=webinar).first():
        return f"{webinar} has ended: nothing of it is planned or sent"
    return f"there is no webinar `{webinar}`; allowed: {', '.join(known) or 'none yet'}"


def confirm(question: str) -> None:
    """Ask on the terminal. The command ends with 2 where there is none, and with 1 where the answer is no."""
    if not can_ask():
        stop("There is no terminal to ask on. Nothing was changed; --yes does not ask.")
    if not click.confirm(question):
        click.echo("Nothing was changed.", err=True)
        sys.exit(1)


def can_ask() -> bool:
    return sys.stdin.isatty()


def stop(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(2)


def print_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        click.echo(str(problem), err=True)
