"""Marks rows of `registrants` and `signup` as changed, so that they are absorbed again: when a webinar appears or
governs again, when triggers were missing, or at an operator's request.

People whose rows have not changed are not planned again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Connection

from scheduler.database.chunk import Chunk
from scheduler.database.engine import Database, as_list, dialect, execute, listed
from scheduler.registrants.rows import HERE

_ROWS = (
    "SELECT id FROM registrants WHERE webinar = :webinar"
    f" UNION ALL SELECT {HERE} - id FROM signup WHERE webinar = :webinar AND state = 'registered'"
)
"""The rows of a webinar, and of people who registered with us."""


def mark_all_changed(conn: Connection, webinar: str) -> int:
    """Mark all rows of a webinar as changed, and its registrations whose row is gone. Returns the number marked.

    Rows that are marked already are marked once more: another service may be about to set them aside because it does
    not know the webinar yet.
    """
    noted = execute(
        conn,
        "INSERT INTO registrant_change (registrant_id, operation, webinar)"
        f" SELECT id, '', :webinar FROM ({_ROWS}) AS rows ORDER BY id",
        webinar=webinar,
    )
    return noted.rowcount + _note_others(conn, webinar)


def replan(database: Database, webinar: str) -> int:
    """Do the same as `mark_all_changed` in short transactions."""
    with database.reading() as conn:
        rows = execute(conn, _ROWS, webinar=webinar).scalars().all()
    with database.transaction() as conn:
        noted = _note_others(conn, webinar)
    piece, first = Chunk(others_wait=True), 0
    while following := rows[first : first + piece.rows]:
        began = time.monotonic()
        with database.transaction() as conn:
            note_changes(conn, following, webinar=webinar)
        piece.record(len(following), time.monotonic() - began)
        time.sleep(piece.pause)
        first += len(following)
    return noted + len(rows)


def _note_others(conn: Connection, webinar: str) -> int:
    """Mark rows that are gone, and rows set aside, whose webinar may be written with blanks around it."""
    with dialect(conn).by_index(conn):
        noted = execute(
            conn,
            "INSERT INTO registrant_change (registrant_id, operation, webinar)"
            " SELECT registrant_id, '', webinar FROM registration g WHERE webinar = :webinar"
            " AND registrant_id IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM registrants r WHERE r.id = g.registrant_id)"
            " AND NOT EXISTS (SELECT 1 FROM signup s WHERE s.id = -g.registrant_id AND s.state = 'registered')"
            " UNION SELECT registrant_id, '', webinar FROM row_set_aside WHERE webinar = :webinar",
            webinar=webinar,
        )
    return noted.rowcount


def note_changes(conn: Connection, ids: Sequence[int], operation: str = "", webinar: str = "") -> None:
    """Add rows to registrant_change, as the triggers do."""
    if ids:
        execute(
            conn,
            "INSERT INTO registrant_change (registrant_id, operation, webinar)"
            f" SELECT number, :operation, :webinar FROM {listed(conn, 'ids')} AS rows ORDER BY number",
            ids=as_list(conn, sorted(ids)),
            operation=operation,
            webinar=webinar,
        )
