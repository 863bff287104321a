"""`webinar restored`: decide about mails that are held because the database was set back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from sqlalchemy import Connection

from scheduler.access import refused
from scheduler.clock import SystemClock
from scheduler.commands import tables
from scheduler.commands.common import (
    EarlierDatabase,
    NoDatabase,
    existing_database,
    mistakes_reported,
    no_webinar,
    opened_database,
    opened_file,
    settings_of_environment,
    stop,
)
from scheduler.database.engine import Database, execute
from scheduler.delivery import marks
from scheduler.delivery.handover import HOLD
from scheduler.governing.revisions import Revisions
from scheduler.input.sent_log import SentLog, read_sent_log
from scheduler.ledger import restored
from scheduler.ledger.states import Why
from scheduler.settings import Settings
from scheduler.state_dir import StateDir

CHUNK = 500  # deliveries in a transaction


@click.command("restored")
@click.option("--hold", is_flag=True, help="This database was restored: hold what may have gone out since.")
@click.option(
    "--new", is_flag=True, help="This database is another one than STATE_DIR knows, and that is meant."
)
@click.option("--sent", "decision", flag_value="sent", help="They went out: record them as sent.")
@click.option("--send", "decision", flag_value="send", help="They did not go out: send what is still useful.")
@click.option("--webinar", "webinar_id", metavar="ID", help="Only those of this webinar.")
@click.option(
    "--log", "logs", metavar="FILE", type=click.Path(path_type=Path), multiple=True,
    help="The service's log: what it says was sent is recorded as sent, and the rest as --sent or --send says.",
)  # fmt: skip
def restored_command(
    hold: bool, new: bool, decision: str | None, webinar_id: str | None, logs: tuple[Path, ...]
) -> None:
    """Show the mails that are held because the database was set back to an earlier state, and decide about them.

    Without an option it changes nothing. Exit code 1 when mails stay held.
    """
    if hold and (decision or webinar_id or logs):
        stop("--hold goes with no other option: it concerns the whole database.")
    if new and (hold or decision or webinar_id or logs):
        stop("--new goes with no other option: it concerns STATE_DIR.")
    with mistakes_reported():
        log = read_sent_log(line for file in logs for line in _lines(file))
    if logs and not log.sent:
        stop(f"No line of {', '.join(map(str, logs))} says that a mail was sent: is it the service's log?")
    settings = settings_of_environment()
    if hold or new:
        (_hold if hold else _note_new)(settings)
        return
    with opened_database(settings) as database:
        if webinar_id:
            _must_be_known(database, webinar_id)
        if decision or logs:
            _must_be_held(database, settings)
            _decide(database, decision, webinar_id, log)
        left = _show(database, webinar_id)
    sys.exit(1 if left else 0)


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """Lines with their places. Raises Problems."""
    with opened_file(file) as opened:
        for number, line in enumerate(opened, start=1):
            yield f"{file}, line {number}", line.decode(errors="replace")


def _hold(settings: Settings) -> None:
    try:
        with existing_database(settings) as database:
            held = database.in_transaction(lambda conn: restored.hold(conn, SystemClock().now()))
    except EarlierDatabase:
        StateDir(settings.state_dir).write(HOLD, b"")
        click.echo(
            "The database is of an earlier version: the service that brings it up to date holds first."
        )
        return
    except NoDatabase as reason:
        stop(str(reason))
    click.echo(
        f"{_mails(held)} held that may have gone out. A service that starts now plans everybody first, and holds what"
        " is due then, too; afterwards `webinar restored` shows and decides."
    )


def _note_new(settings: Settings) -> None:
    state = StateDir(settings.state_dir)
    with opened_database(settings) as database, database.reading() as conn:
        ledger = restored.identity(conn).name
    try:
        marks.note_ledger(state, ledger)
    except OSError as error:
        stop(refused(state.folder, error))
    click.echo(
        f"{state.folder.absolute()} is this database's, too: a service starts on it. What was sent from the other one"
        " is not known here: load its people by `webinar import --already-confirmed`."
    )


def _must_be_held(database: Database, settings: Settings) -> None:
    try:
        found = marks.read(StateDir(settings.state_dir)).marks.values()
    except marks.StateUnreadable as error:
        stop(str(error))
    with database.reading() as conn:
        if marks.missing(conn, found):
            stop(
                "The database was set back, and nothing is held yet: first `webinar restored --hold`, or start the"
                " service."
            )


def _must_be_known(database: Database, webinar_id: str) -> None:
    with database.reading() as conn:
        known = list(execute(conn, "SELECT webinar FROM webinar ORDER BY webinar").scalars())
        if webinar_id not in known:
            stop(f"--webinar: {no_webinar(conn, webinar_id, known)}")


def _decide(database: Database, decision: str | None, webinar_id: str | None, log: SentLog) -> None:
    with database.reading() as conn:
        if restored.identity(conn).hold_planned:
            stop(
                "A service must plan everybody first, and hold what is due then: start it, and decide afterwards."
            )
        planned_at = restored.planned_at(conn, webinar_id)
        unknown = restored.unknown(conn, log.sent)
    named = [one for one in planned_at if one in log.sent]
    rest = [one for one in planned_at if one not in log.sent]
    done = _record(database, {one: log.sent[one] for one in named}, Why.SENT_BY_LOG)
    if done:
        click.echo(f"{_mails(done)} recorded as sent, as the log says.")
    if decision == "sent":
        click.echo(f"{_mails(_record(database, dict.fromkeys(rest), Why.SENT_BY_WORD))} recorded as sent.")
    elif decision == "send":
        unsure = {one for one in rest if planned_at[one] >= _first(log, unknown)}
        click.echo(f"{_mails(_send(database, [one for one in rest if one not in unsure]))} to be sent.")
        _tell_unsure(len(unsure))


def _first(log: SentLog, unknown: Iterable[int]) -> datetime:
    """When the first mail went out that the log names and this database does not know. Earlier ones were in the
    backup, under the number in the log."""
    return min((log.sent[one] or _EVER for one in unknown), default=_NEVER)


_EVER, _NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def _tell_unsure(mails: int) -> None:
    if mails:
        click.echo(
            f"{_mails(mails)} planned after the backup: the log names mails that this database does not know, and these"
            " may be among them. They stay held; without --log, --sent or --send decides about them.",
            err=True,
        )


def _record(database: Database, at: dict[int, datetime | None], why: Why) -> int:
    revisions = Revisions()

    def record(ids: list[int], conn: Connection) -> int:
        return restored.record_sent(conn, {one: at[one] for one in ids}, why, revisions.governing(conn))

    return sum(database.in_transaction(partial(record, ids)) for ids in _chunks(list(at)))


def _send(database: Database, ids: list[int]) -> int:
    now = SystemClock().now()

    def send(some: list[int], conn: Connection) -> int:
        return restored.send(conn, now, some)

    return sum(database.in_transaction(partial(send, some)) for some in _chunks(ids))


def _chunks(ids: list[int]) -> Iterable[list[int]]:
    return (ids[first : first + CHUNK] for first in range(0, len(ids), CHUNK))


def _show(database: Database, webinar_id: str | None) -> int:
    """Print what is held. Returns how many mails."""
    with database.reading() as conn:
        held = [one for one in restored.held(conn, SystemClock().now()) if webinar_id in (None, one.webinar)]
    rows = [
        (
            one.webinar,
            one.message,
            one.mails,
            one.useful,
            *map(tables.utc_words, (one.first_due, one.last_due)),
        )
        for one in held
    ]
    headings = ("webinar", "message", "held", "still useful", "first due (UTC)", "last due (UTC)")
    tables.print_table(("held",), headings, rows)
    if not held:
        click.echo("No mail is held because the database was set back.")
    return sum(one.mails for one in held)


def _mails(many: int) -> str:
    return f"{many} mail{'' if many == 1 else 's'}"
