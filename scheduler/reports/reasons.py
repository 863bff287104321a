"""Why the next mail would not go out, and what else somebody should know, in one place for `/readyz` and `webinar
status`, with how to fix it.

A reason or a note is words without personal data. Rows of `registrants` are named by their id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from scheduler.database.engine import dialect, execute
from scheduler.database.file import FileState
from scheduler.governing.layouts import governing_layout
from scheduler.governing.proposals import Kind, Revision, differing_folders
from scheduler.governing.texts import governing_texts
from scheduler.governing.webinars import governing_webinars
from scheduler.problem import Problem
from scheduler.registrants.forgotten import DOUBTFUL, FORGOTTEN
from scheduler.registrants.rows import UNREADABLE
from scheduler.registrants.triggers import NO_INDEX, NOT_NOTICED

ROWS_NAMED = 20  # in notes; `webinar status` lists every row

RETENTION = "Registrants of "
"""Begins what is said of people who are about to be removed."""
SOURCES = "the source of "
"""Begins what is said of sources of registrants."""
_RELAY = "the relay takes no mail"
_REFUSES = "The relay refuses all mail"
_ROWS = "registrants, "
_WAIT = "rows of registrants wait to be planned"
_SERVICE = "no service answers"
_SHARE = "let all replicas share one folder of texts (TEMPLATES_DIR), or give each the same files"
_SHARE_CONFIG = "let all replicas share one folder of webinars (CONFIG_DIR), or give each the same files"
_NEVER_RUN = "no service has run on this database yet"
_RESTORED = "the database was set back"
_FILE = "the database's file"
_FIXES = (
    (_RELAY, "what the relay says tells whose turn it is: its operator's, or SMTP_* in the environment;"
             " it is tried again by itself"),
    (RETENTION, "nothing, if it is meant; a larger `keep_days` in the webinar's file keeps them longer"),
    (_ROWS, "correct the row, or delete it; it is looked at again by itself"),
    (_NEVER_RUN, "start it: `webinar run`, under whatever keeps processes alive, or the containers"),
    (_SERVICE, "start it with `webinar run`, or call this where it runs (HEALTH_HOST and HEALTH_PORT say where)"),
    (_FILE, "put the file, or its last backup, back there; the service goes on by itself, and holds what may have gone"
            " out since the backup"),
    (_RESTORED, "`webinar restored` shows what is held; with --log and the service's log it records what went out, with"
                " --sent or --send it decides about the rest"),
    ("STATE_DIR (", "correct DATABASE_URL or STATE_DIR; or `webinar restored --new`, if this database is meant to be"
                    " another one"),
    ("this service has tz database", "bring every service to the same version"),
    ("this service cannot show", "see whether it reaches the database, and the service's log; it goes on by itself"),
    ("the system's clock", "set it right, by NTP; if it is right now, wait"),
    ("this machine's clock", "set both clocks right, by NTP; it goes on by itself"),
    ("the ledger can't be written", "see whether the database's disk is full, or its server down; it is tried again by"
                                    " itself"),
    (UNREADABLE, "give the column its name and type back; the rows that came meanwhile are taken in then"),
    (NOT_NOTICED, "run the SQL that it names; new rows are found once a minute until then"),
    (NO_INDEX, "run the SQL that it names; where it fails, delete one of the rows that share an address first"),
    ("webinar ", _SHARE_CONFIG),
    ("text ", _SHARE),
    ("the layout: ", _SHARE),
    ("Webinar ", "nothing, if it is meant: it goes by itself at that time"),
    ("the folder ", "see the disk or network share that it is on; it is read again by itself"),
    (SOURCES, "see what keeps its system, its file or its network; it is read again by itself, and registrants stay as"
              " they were last read"),
    ("starting", "ask again in a minute"),
    ("no mail was accepted", "see the service's log, and ask the relay's operator what it does with our mails; they go"
                             " by themselves once it takes them"),
    (_WAIT, "see the service's log, and start it again"),
    ("nothing was planned", "see the service's log, and start it again"),
    ("the service fails", "see the service's log, and report it"),
    ("the database does not answer", "start the database; the service goes on by itself"),
    ("the web process ended (EDITOR_PORT", "end the program that has the port (`ss -ltnp` names it), or set EDITOR_PORT"
                                          " to another one and start the service again; mails go out all the same"),
    ("the web process ended", "see the service's log; it is started again by itself, and mails go out all the same"),
    (_REFUSES, "fix it with the relay's operator; it is tried again by itself"),
)  # fmt: skip
_FOLDER, _NOT_THERE, _MAY_NOT = "the folder ", ": is not there", "can't be used by the user "
_WHERE = (
    "start it where that folder is, or let CONFIG_DIR (webinars) and TEMPLATES_DIR (texts) name theirs by the whole"
    " path; it is read again by itself"
)
_LET_IN = re.compile(r"\((authentication failed|no password supplied|no pg_hba\.conf entry)\)")
_SIGN_IN = (
    "let DATABASE_URL (or its file, which is read again) have the user name and password that the server takes; the"
    " service goes on by itself"
)
_OF_A_FILE = re.compile(r"[^\s,:]{0,1000}[/.][^\s,:]{0,1000}")  # whose path stands first
_EDIT_THE_FILE = "edit the file; it is read again by itself"
_SEE_THE_LOG = "see the service's log"


class RowAside(NamedTuple):
    """A row of `registrants` that can't be used, and why."""

    row: int
    webinar: str
    reason: str


def reasons(relay: str, files: Iterable[Problem]) -> tuple[str, ...]:
    """The relay's trouble, if any, and what is wrong with files."""
    trouble = [f"{_RELAY}: {relay}"] if relay else []
    return (*trouble, *map(str, files))


def set_back(mails: int) -> str:
    """The note and alert when a database was set back to an earlier state, and so many mails are held for it; or "".
    The next mail goes out all the same."""
    if not mails:
        return ""
    held = (
        f"mails that may have gone out since are held until somebody decides ({mails}), by `webinar restored`"
    )
    return f"{_RESTORED} to an earlier state: {held}"


def still_loading(seconds: float) -> str:
    """The reason while a database that was set back is brought up to date with `registrants`."""
    return (
        f"{_RESTORED} to an earlier state: for {seconds:.0f} seconds people who were lost can be loaded again, and"
        " nothing goes out"
    )


def relay_refuses(trouble: str) -> str:
    """What organizers are told of a relay that has stopped; its first paragraph is a reason, too."""
    refused = f"{_REFUSES}, and only its operator can change that: {trouble}"
    return f"{refused}\n\nUntil then no mail to registrants goes out. It is tried again by itself."


def older_than_known(at: datetime) -> str:
    """The reason when the ledger lacks what a service knew at that time (UTC), and none has held anything yet."""
    return (
        f"{_RESTORED} to an earlier state: it lacks what STATE_DIR has on record since {at:%Y-%m-%d %H:%M} UTC. Before"
        " any service runs on it: `webinar restored --hold`; one that starts with this STATE_DIR does the same"
    )


def moved_away(stands: FileState, path: Path) -> str:
    """The reason when the file of a SQLite database is no more at its path."""
    what = {
        FileState.GONE: "is gone",
        FileState.NOT_OURS: "was replaced by what is no whole database of this program",
        FileState.REPLACED: "was replaced: the service starts again on what stands there now",
    }[stands]
    return f"{_FILE} {path} {what}; until then nothing is planned or sent"


def row_notes(conn: Connection) -> tuple[str, ...]:
    """The rows set aside, one by one as far as somebody would read them. They keep nobody else's mails back."""
    rows = rows_set_aside(conn, ROWS_NAMED + 1)
    named = [f"{_ROWS}row {one.row}: {one.reason}; the row is set aside" for one in rows[:ROWS_NAMED]]
    if len(rows) > ROWS_NAMED:
        named.append(f"{_ROWS}more rows: set aside, too; `webinar status` lists them all")
    return tuple(named)


def replica_notes(conn: Connection, now: datetime) -> tuple[str, ...]:
    """The webinars and texts, and the layout, of which the services have had different sound files for a minute. Mails
    go out by what governs."""
    found = differing_folders(conn, now)
    notes: list[str] = []
    for kind, governing in _GOVERNING.items():
        there = {name: held for (its_kind, name), held in found.items() if its_kind == kind}
        revisions = governing(conn) if there else {}
        notes += [
            _differ(f"{kind} {name}" if name else f"the {kind}", held, revisions[name])
            for name, held in sorted(there.items())
            if name in revisions
        ]
    return tuple(notes)


_GOVERNING: dict[Kind, Callable[[Connection], Mapping[str, Revision]]] = {
    "webinar": governing_webinars,
    "text": governing_texts,
    "layout": governing_layout,
}


def _differ(what: str, held: list[str], governing: Revision) -> str:
    since = f"{governing.sound_since:%Y-%m-%d %H:%M} UTC"
    return (
        f"{what}: {len(held)} services have different files of it; revision {governing.id}, of {since}, governs for all"
        f" and is the file of {held.count(governing.sha256)} of them"
    )


def rows_set_aside(conn: Connection, limit: int | None = None, webinar: str | None = None) -> list[RowAside]:
    """The rows set aside, of a webinar or all, by id, but for those of people who were forgotten, which are as they
    should be."""
    query = "SELECT registrant_id, webinar, reason FROM row_set_aside WHERE reason <> :forgotten"
    values: dict[str, object] = {"forgotten": FORGOTTEN}
    if webinar is not None:
        query, values = f"{query} AND webinar = :webinar", values | {"webinar": webinar}
    query += " ORDER BY registrant_id"
    if limit is None:
        found = execute(conn, query, **values).all()
    else:  # the first by the index, however many there are
        with dialect(conn).by_index(conn):
            found = execute(conn, f"{query} LIMIT :limit", limit=limit, **values).all()
    return [RowAside(row.registrant_id, row.webinar, row.reason) for row in found]


def no_service(address: str) -> str:
    """The reason when nothing answers where the service should."""
    return f"{_SERVICE} at {address}: while it does not run, nothing is planned or sent"


def never_run(why: str, live: Collection[str]) -> str:
    """The reason, or note, before the first `webinar run`. `why`: what there is instead of a database."""
    which = f"live: {', '.join(live)}" if live else "no webinar is live"
    return f"{_NEVER_RUN}, so nothing is planned or sent ({which}). {why}"


def concerns_rows(note: str) -> bool:
    return note.startswith(_ROWS)


def fix_of(reason: str) -> str:
    """What to do about a reason or a note."""
    if reason.startswith(_FOLDER) and _NOT_THERE in reason:
        return _WHERE
    if _MAY_NOT in reason:
        return "let that user in; it is tried again by itself"
    if _LET_IN.search(reason):
        return _SIGN_IN
    if DOUBTFUL in reason:
        return "if they did, `webinar import --registered-again`; else leave it, or have its owner delete it"
    known = (fix for start, fix in _FIXES if reason.startswith(start))
    return next(known, _EDIT_THE_FILE if _OF_A_FILE.match(reason) else _SEE_THE_LOG)
