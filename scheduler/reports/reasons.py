"""Reasons and notes that the service and commands share: what is wrong, in words.

A reason holds no personal data. Rows of `registrants` are named by their id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from scheduler.database.engine import dialect, execute
from scheduler.database.file import FileState
from scheduler.governing.layouts import governing_layout
from scheduler.governing.proposals import Kind as Governed
from scheduler.governing.proposals import Revision, differing_folders
from scheduler.governing.texts import governing_texts
from scheduler.governing.webinars import governing_webinars
from scheduler.readiness import Kind, Reason
from scheduler.registrants.changes import REGISTERED_HERE
from scheduler.registrants.forgotten import DOUBTFUL, FORGOTTEN
from scheduler.registrants.rows import place_of

ROWS_NAMED = 20  # in notes; `webinar status` lists every row

_RESTORED = "the database was set back to an earlier state"


class RowAside(NamedTuple):
    """A row of `registrants` that can't be used, and why."""

    row: int
    webinar: str
    reason: str


def relay_takes_no_mail(trouble: str) -> Reason:
    """No relay takes mail now, for this trouble."""
    return Reason(Kind.RELAY, f"the relay takes no mail: {trouble}")


def relay_alert(trouble: str) -> str:
    """The mail to organizers where only a relay's operator can help. The reason is its first paragraph."""
    only = "Only the relay's operator, or a change of SMTP_* in the environment, can fix it."
    until = "Until then no mail to registrants goes out. It is retried automatically."
    return f"{relay_takes_no_mail(trouble)}\n\n{only} {until}"


def set_back(mails: int) -> Reason:
    """The database was set back to an earlier state, and this number of mails is held for it; others go out."""
    held = (
        f"mails that may have gone out since are held until somebody decides ({mails}), by `webinar restored`"
    )
    return Reason(Kind.RESTORED, f"{_RESTORED}: {held}")


def still_loading(seconds: float) -> Reason:
    """The database was set back, and is being brought up to date with `registrants`."""
    return Reason(
        Kind.LOADING,
        f"{_RESTORED}: for {seconds:.0f} seconds people who were lost can be loaded again, and nothing goes out",
    )


def older_than_known(at: datetime) -> Reason:
    """The ledger lacks what a service knew at that time (UTC), and no service has held anything yet."""
    return Reason(
        Kind.NOT_HELD,
        f"{_RESTORED}: it lacks what STATE_DIR has on record since {at:%Y-%m-%d %H:%M} UTC. Before any service runs on"
        " it: `webinar restored --hold`; one that starts with this STATE_DIR does the same",
    )


def moved_away(stands: FileState, path: Path) -> Reason:
    """The file of a SQLite database is no longer at its path."""
    what = {
        FileState.GONE: "is gone",
        FileState.NOT_OURS: "was replaced by what is no whole database of this program",
        FileState.REPLACED: "was replaced: the service starts again on what stands there now",
    }[stands]
    words = f"the database's file {path} {what}; until then nothing is planned or sent"
    return Reason(Kind.DATABASE_FILE, words)


def row_notes(conn: Connection) -> tuple[Reason, ...]:
    """The first rows that were set aside, each with why, and whether there are more."""
    rows = rows_set_aside(conn, ROWS_NAMED + 1)
    named = [
        Reason(
            Kind.FORGOTTEN if one.reason == DOUBTFUL else Kind.ROW,
            f"{place_of(one.row)}: {one.reason}; the row is set aside",
        )
        for one in rows[:ROWS_NAMED]
    ]
    if len(rows) > ROWS_NAMED:
        more = "registrants, more rows: set aside, too; `webinar status` lists them all"
        named.append(Reason(Kind.ROW, more))
    return tuple(named)


def replica_notes(conn: Connection, now: datetime) -> tuple[Reason, ...]:
    """The webinars, texts and layout for which the services have had different sound files for a minute."""
    found = differing_folders(conn, now)
    notes: list[Reason] = []
    for governed, governing in _GOVERNING.items():
        there = {name: held for (kind, name), held in found.items() if kind == governed}
        revisions = governing(conn) if there else {}
        notes += [
            Reason(
                Kind.WEBINAR_DIFFERS if governed == "webinar" else Kind.TEXT_DIFFERS,
                _differ(f"{governed} {name}" if name else f"the {governed}", held, revisions[name]),
            )
            for name, held in sorted(there.items())
            if name in revisions
        ]
    return tuple(notes)


_GOVERNING: dict[Governed, Callable[[Connection], Mapping[str, Revision]]] = {
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
    """Rows that were set aside, by id, of one webinar or all; without those that are passed over on purpose."""
    query = "SELECT registrant_id, webinar, reason FROM row_set_aside WHERE reason NOT IN (:forgotten, :here)"
    values: dict[str, object] = {"forgotten": FORGOTTEN, "here": REGISTERED_HERE}
    if webinar is not None:
        query, values = f"{query} AND webinar = :webinar", values | {"webinar": webinar}
    query += " ORDER BY registrant_id"
    if limit is None:
        found = execute(conn, query, **values).all()
    else:  # the first by the index, however many there are
        with dialect(conn).by_index(conn):
            found = execute(conn, f"{query} LIMIT :limit", limit=limit, **values).all()
    return [RowAside(row.registrant_id, row.webinar, row.reason) for row in found]


def no_service(address: str) -> Reason:
    """Nothing answers where the service should."""
    return Reason(
        Kind.NO_SERVICE, f"no service answers at {address}: while it does not run, nothing is planned or sent"
    )


def never_run(why: str, live: Collection[str]) -> Reason:
    """No `webinar run` has used the database yet: a note where no webinar is live. `why`: what is there instead."""
    which = f"live: {', '.join(live)}" if live else "no webinar is live"
    words = f"no service has run on this database yet, so nothing is planned or sent ({which}). {why}"
    return Reason(Kind.NEVER_RUN if live else Kind.NOTHING_LIVE, words)
