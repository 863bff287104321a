"""`webinar live` and `webinar draft`: set one line of a webinar's file, after saying what that sends."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import click
from sqlalchemy import Connection

from scheduler.clock import SystemClock
from scheduler.commands import tables
from scheduler.commands.common import (
    NoDatabase,
    confirm,
    existing_database,
    mistakes_reported,
    print_problems,
    read_file,
    settings_of_environment,
    text_of,
)
from scheduler.governing.folder import webinar_files
from scheduler.governing.notices import Notice, notices, notices_if_saved
from scheduler.governing.revisions import Revisions
from scheduler.input.toml_edit import NotEditable, with_status
from scheduler.input.toml_syntax import load_toml, syntax_problem
from scheduler.ledger.due_times import planned_for
from scheduler.ledger.outlook import Outlook, changes_waiting, outlook
from scheduler.problem import Problem, Problems, nearest
from scheduler.reports.asking import ask
from scheduler.settings import Settings
from scheduler.webinar.links import needs_pages, registration_page
from scheduler.webinar.model import Webinar, explain_time, placeholders, read_webinar
from scheduler.zones.wall import to_local


def _command(status: str, summary: str) -> click.Command:
    @click.command(status, help=f"{summary}\n\n{_EXIT_CODES}")
    @click.argument("webinar_id", metavar="ID")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def command(webinar_id: str, yes: bool) -> None:
        _set(webinar_id, status, yes)

    return command


_EXIT_CODES = (
    "Exit code 1 when nothing was changed, because the file is not sound or the answer was no; 2 when it could not"
    " begin."
)


def _set(webinar_id: str, status: str, yes: bool) -> None:
    settings = settings_of_environment()
    with suppress(NoDatabase), existing_database(settings):
        pass  # a newer one ends the command, even where there is nothing to do
    with mistakes_reported():
        file = _file_of(settings.config_dir / "webinars", webinar_id)
        raw = read_file(file)
    source = raw.decode()
    try:
        edited = with_status(source, status)
        webinar = _sound(source, edited, str(file))
        if missing := needs_pages(webinar, str(file), settings.pages_url):
            _unchanged([missing])
    except NotEditable as error:
        _unchanged([Problem(f"{file}, status", "is written in an unusual way", hint=str(error))])
    except Problems as error:
        _unchanged(error.problems)
    if _status(source) == status:
        click.echo(f"{webinar_id} is {status} already.")
        return
    click.echo(f"{webinar_id}: {tables.printable(webinar.title)}\n{explain_time(webinar)}")
    if page := registration_page(webinar, settings.pages_url):
        click.echo(page)
    if _status(source) == "ended":
        click.echo("It has ended: from now on it is planned, and its file is looked at, again.")
    _print_outlook(settings, webinar, status)
    if not yes:
        confirm(f"Set {webinar_id} to {status}?")
    if read_file(file) != raw:
        _unchanged([Problem(str(file), "was changed in the meantime", hint="begin again")])
    with mistakes_reported():
        _replace(file, edited.encode())
    service = ask(settings.health_host, settings.health_port)
    if service.answers is False:
        told = f"No service answers at {service.address}: start it with `webinar run`."
    else:
        told = "A running service takes that up within seconds."
    click.echo(f"{webinar_id} is {status}. {told}")


def _file_of(folder: Path, webinar_id: str) -> Path:
    """The one file of that webinar. A file that is not TOML may be the one that is meant, so it is reported, too."""
    files: dict[str, list[Path]] = {}
    problems: list[Problem] = []
    for file in webinar_files(folder):
        try:
            files.setdefault(_id(text_of(file), file), []).append(file)
        except Problems as error:
            problems += error.problems
    found = files.get(webinar_id, [])
    if len(found) == 1:
        return found[0]
    names = sorted(filter(None, files))
    if found:
        where = ", ".join(map(str, found))
        raise Problems(
            [Problem("ID", f"`{webinar_id}` is the id of {where}", "an id of its own for each webinar")]
        )
    unknown = Problem("ID", f"no webinar `{webinar_id}`", ", ".join(names), nearest(webinar_id, names))
    raise Problems([unknown, *problems])


def _id(source: str, file: Path) -> str:
    try:
        return str(load_toml(source).get("id", ""))
    except (ValueError, RecursionError) as error:
        raise Problems([syntax_problem(source, str(file), error)]) from None


def _status(source: str) -> str:
    return str(load_toml(source.removeprefix("\ufeff")).get("status", "draft"))


def _sound(source: str, edited: str, place: str) -> Webinar:
    """The webinar as edited. Raises Problems, with the lines of the file as it is."""
    if source.count("\n") == edited.count("\n"):
        return read_webinar(edited, place)
    webinar = read_webinar(source, place)  # a draft, as it says nothing
    if found := placeholders(webinar):
        raise Problems(Problem(f"{place}, {one.place}", one.found, one.allowed, one.hint) for one in found)
    return webinar


def _print_outlook(settings: Settings, webinar: Webinar, status: str) -> None:
    now = SystemClock().now()
    try:
        with existing_database(settings) as database, database.reading() as conn:
            planned = planned_for(conn, webinar.id) is not None
            ahead, waiting = outlook(conn, now, webinar.id), changes_waiting(conn)
            concerned = _notices(conn, now, webinar, status, settings)
    except NoDatabase as reason:
        click.echo(f"{reason} How many mails leave is not known.")
        return
    if not planned:
        click.echo("The service has not planned this webinar yet: how many mails leave is not known.")
        return
    if webinar.cancelled:
        click.echo("It is cancelled.")
    elif now >= webinar.end:
        click.echo("It is over.")
    for notice in concerned:
        click.echo(_NOTICE[status](notice))
    waits = status == "live" and any(notice.leaves_at > now for notice in concerned)
    if waits:
        click.echo(f"Until then nothing leaves; to stop it, `webinar draft {webinar.id}`.")
    click.echo(_OUTLOOK[status](ahead, "then" if waits else "at once"))
    rows = [
        (one.message, tables.utc_words(one.at), tables.local_words(to_local(one.at, webinar.tz)), one.mails)
        for one in ahead.next
    ]
    tables.print_table(("next", webinar.id), ("next", "UTC", "on the webinar's clock", "mails"), rows)
    if waiting:
        click.echo(
            f"Rows of registrants changed and not planned from yet: {waiting}; their mails are not counted."
        )


def _notices(
    conn: Connection, now: datetime, webinar: Webinar, status: str, settings: Settings
) -> list[Notice]:
    """The notices that going live would send, or that wait and that a draft stops."""
    revisions, return_within = Revisions(settings.pages_url), settings.return_within
    if status == "draft":
        waiting = notices(conn, now, revisions, return_within)
        return [one for one in waiting if one.webinar == webinar.id]
    governs = revisions.governing(conn).get(webinar.id)
    if governs is None:
        return []
    return list(notices_if_saved(conn, now, governs.webinar, webinar, return_within, settings.pages_url))


_NOTICE: dict[str, Callable[[Notice], str]] = {
    "live": lambda one: f"Once it is live, {one.who_and_when()} of {one.what}.",
    "draft": lambda one: f"This stops a notice: {one.who_and_when('would be')} of {one.what}.",
}
_OUTLOOK: dict[str, Callable[[Outlook, str], str]] = {
    "live": lambda ahead, when: f"{_mails(ahead.at_once)} {when}, {ahead.later} later.",
    "draft": lambda ahead, _: (
        f"{ahead.at_once + ahead.later} mails wait then, {ahead.at_once} of them due now."
    ),
}


def _mails(many: int) -> str:
    return "1 mail leaves" if many == 1 else f"{many} mails leave"


def _unchanged(problems: Iterable[Problem]) -> NoReturn:
    print_problems(problems)
    click.echo("Nothing was changed.", err=True)
    sys.exit(1)


def _replace(file: Path, content: bytes) -> None:
    """Another content under the same name, mode and owner, at once: a reader sees the old file or the new one."""
    file = file.resolve()  # a link stays a link
    try:
        before = file.stat()
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as new:
            try:
                new.write(content)
                new.flush()
                os.fchmod(new.fileno(), before.st_mode)
                with suppress(PermissionError):
                    os.fchown(new.fileno(), before.st_uid, before.st_gid)
                os.fsync(new.fileno())
                Path(new.name).replace(file)
            except BaseException:
                Path(new.name).unlink()
                raise
    except OSError as error:
        why = (error.strerror or "cannot be written").lower()
        hint = "nothing was changed; make the edit where the file can be written"
        raise Problems([Problem(str(file), f"can't be written: {why}", "", hint)]) from None


live = _command(
    "live", "Let the mails of webinar ID go out: says how many leave at once and when the next do."
)
draft = _command("draft", "Keep the mails of webinar ID back: they are planned and shown, and not sent.")
