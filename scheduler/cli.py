"""The commands: parse, call, print.

Exit codes: 0 done; 1 done, but something needs a look; 2 it could not begin (a bad command line, environment
or file; nothing was touched).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click
from sqlalchemy.exc import DBAPIError

from scheduler import tables
from scheduler.database.engine import Database, DatabaseInUse
from scheduler.logs import set_up_logs
from scheduler.problem import Problem, Problems
from scheduler.registrants.importing import CsvRow, Report, import_rows, read_csv
from scheduler.registrants.rows import why_no_address
from scheduler.registrants.suppression import suppress as suppress_address
from scheduler.settings import Settings, read_settings
from scheduler.webinar import Webinar, explain_time, read_webinar

SHIPPED = Path("config/webinars/trilateral-2025.toml")
SAMPLE = Path("config/sample-registrants.csv")
SAMPLE_STARTS_AT = datetime(2025, 7, 3, 11, tzinfo=UTC)  # the webinar that the sample's dates belong to
INBOX_PORT = 8025


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Write to every registrant of a webinar at the right time, in their own time zone."""


@main.command()
def run() -> None:
    """Run the service until SIGTERM. Settings come from the environment."""
    from scheduler.running import run_service

    settings = _settings()
    set_up_logs(settings.log_level)
    try:
        asyncio.run(run_service(settings))
    except (DatabaseInUse, OSError) as error:
        _stop(str(error))
    except DBAPIError as error:
        _stop(f"the database can't be used: {type(error.orig).__name__}: {_database_words(error)}")


@main.command()
@click.argument("file", type=click.Path(path_type=Path), default=SHIPPED)
@click.option("--registrants", type=click.Path(path_type=Path), help="A CSV; else an invented sample.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("rehearsal"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print deliveries.json instead of tables.")
def rehearse(file: Path, registrants: Path | None, out: Path, as_json: bool) -> None:
    """Rehearse the whole life of a webinar: every mail that every registrant will get, and when.

    Nothing leaves this machine: mails go by SMTP to an inbox of files in OUT, which a browser shows.
    """
    from scheduler.rehearsal import rehearse as rehearse_webinar

    set_up_logs("ERROR")
    with _told():
        source, webinar = _webinar(file)
        rows, notes = _rows(registrants, webinar)
    place = str(registrants or SAMPLE)
    if not as_json:
        click.echo(f"{webinar.title}\n{explain_time(webinar)}")
    with tables.progress(quiet=as_json) as show, _told():
        rehearsed = asyncio.run(
            rehearse_webinar(
                webinar, source, rows, place=place, templates=_templates_dir(), out=out, progress=show
            )
        )
    if as_json:
        click.echo(json.dumps(rehearsed.deliveries, ensure_ascii=False, indent=1))
    else:
        tables.print_deliveries(rehearsed.deliveries)
        _print_problems([*notes, *rehearsed.imported.notes, *rehearsed.imported.rejected])
        for reason in rehearsed.reasons:
            click.echo(reason, err=True)
        click.echo(f"\nInbox: {rehearsed.index.resolve().as_uri()}")
    if not as_json and sys.stdout.isatty():
        asyncio.run(_serve_inbox(out))
    sys.exit(1 if rehearsed.reasons else 0)


@main.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--webinar", "webinar_id", help="The webinar of rows that do not name one.")
@click.option(
    "--already-confirmed", is_flag=True, help="These people have a confirmation from another system."
)
def import_(file: Path, webinar_id: str | None, already_confirmed: bool) -> None:
    """Import registrants from a CSV. The same file twice changes nothing."""
    settings = _settings()
    with _told():
        webinars = _webinars(settings)
        default = webinar_id or (next(iter(webinars)) if len(webinars) == 1 else "")
        if webinar_id and webinar_id not in webinars:
            raise Problems([Problem("--webinar", f"`{webinar_id}`", ", ".join(sorted(webinars)))])
        rows, notes = read_csv(_read(file), str(file))
    with _database(settings) as database, database.transaction() as conn:
        report = import_rows(
            conn,
            rows,
            str(file),
            webinars=webinars,
            default_webinar=default,
            already_confirmed=already_confirmed,
        )
    _print_report(report, notes)
    sys.exit(1 if report.rejected else 0)


@main.command()
@click.argument("address")
def suppress(address: str) -> None:
    """Write to ADDRESS no more, for any webinar."""
    settings = _settings()
    if reason := why_no_address(address):
        _stop(f"ADDRESS: {reason.replace('email', 'it')}")
    with _database(settings) as database, database.transaction() as conn:
        count = suppress_address(conn, datetime.now(UTC), address)
    click.echo(
        f"Suppressed. It has {count} registration{'s' if count != 1 else ''}; nothing more is sent to it."
    )


def _settings() -> Settings:
    with _told():
        return read_settings(os.environ)


def _webinar(file: Path) -> tuple[str, Webinar]:
    source = _text(file)
    return source, read_webinar(source, str(file))


def _webinars(settings: Settings) -> dict[str, Webinar]:
    """The webinars of the folder, by id; a file that is not sound is told on stderr and left out."""
    webinars = {}
    for file in sorted((settings.config_dir / "webinars").glob("*.toml")):
        try:
            webinar = _webinar(file)[1]
        except Problems as error:
            _print_problems(error.problems)
        else:
            webinars[webinar.id] = webinar
    return webinars


def _rows(registrants: Path | None, webinar: Webinar) -> tuple[list[CsvRow], list[Problem]]:
    """The rows to rehearse with. The sample's dates are moved to where the webinar is."""
    rows, notes = read_csv(_read(registrants or SAMPLE), str(registrants or SAMPLE))
    if registrants is None:
        shift = webinar.start - SAMPLE_STARTS_AT
        rows = [
            CsvRow(row.line, row.values, row.registered_at + shift if row.registered_at else None)
            for row in rows
        ]
    return rows, notes


def _templates_dir() -> Path:
    return Path(os.environ.get("TEMPLATES_DIR") or "templates")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Problems([Problem(str(file), f"can't be read: {error.strerror}", "a file")]) from None


def _text(file: Path) -> str:
    try:
        return _read(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Problems([Problem(str(file), "is not UTF-8", "UTF-8 text")]) from None


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database_url.get_secret_value())
    try:
        database.migrate()
        yield database
    except DBAPIError as error:
        _stop(f"the database can't be used: {type(error.orig).__name__}: {_database_words(error)}")
    finally:
        database.close()


def _database_words(error: DBAPIError) -> str:
    """The first line of the database's own words, which name no values."""
    return str(error.orig).strip().split("\n")[0]


@contextmanager
def _told() -> Iterator[None]:
    """A user's mistake is told in plain lines, and the command ends."""
    try:
        yield
    except Problems as error:
        _print_problems(error.problems)
        sys.exit(2)


def _stop(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(2)


def _print_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        click.echo(str(problem), err=True)


def _print_report(report: Report, notes: list[Problem]) -> None:
    _print_problems([*notes, *report.notes, *report.rejected])
    parts = [f"{report.new} new", f"{report.updated} updated", f"{report.unchanged} unchanged"]
    click.echo(", ".join([*parts, f"{len(report.rejected)} left out"]))


async def _serve_inbox(out: Path) -> None:
    from scheduler.web.server import WebServer, inbox_app

    server = WebServer(inbox_app(out), "127.0.0.1", INBOX_PORT)
    try:
        await server.start()
    except OSError:  # a port that is taken is no problem
        server = WebServer(inbox_app(out), "127.0.0.1", 0)
        await server.start()
    click.echo(f"Open {server.url} in a browser. Ctrl-C ends this.")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass
    finally:
        await server.stop()
