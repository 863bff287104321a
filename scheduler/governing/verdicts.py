"""Verdicts of trials, stored in the database by digest, so that no other service tries the same pair again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from scheduler.database.engine import execute
from scheduler.mail.trial.runner import Found
from scheduler.problem import Problem

UNUSED_FOR = timedelta(days=90)
_USED = timedelta(days=30)
"""A start renews the date of used verdicts that are older than this, so that they are not deleted as unused."""
_MOST_ASKED = 500  # digests in one statement; for more, the whole table is read


def read_verdicts(conn: Connection, digests: Sequence[str]) -> dict[str, Found]:
    """The stored verdicts of these pairs, by digest."""
    query = "SELECT digest, problems FROM verdict"
    if len(digests) <= _MOST_ASKED:
        rows = execute(conn, f"{query} WHERE digest IN :digests", digests=digests)
    else:
        rows = execute(conn, query)
    wanted = frozenset(digests)
    return {row.digest: _found(row.problems) for row in rows if row.digest in wanted}


def store_verdicts(conn: Connection, now: datetime, found: Mapping[str, Found]) -> None:
    """Store verdicts, by digest."""
    insert = (
        "INSERT INTO verdict (digest, problems, tried_at) VALUES (:digest, :problems, :now)"
        " ON CONFLICT (digest) DO NOTHING"
    )
    for digest, problems in found.items():
        written = json.dumps([vars(one) for one in problems], ensure_ascii=False)
        execute(conn, insert, digest=digest, problems=written, now=now)


def prune_verdicts(conn: Connection, now: datetime, used: Sequence[str]) -> None:
    """Delete verdicts that were unused for UNUSED_FOR. Called at a start. `used`: the digests of all present pairs."""
    old = execute(conn, "SELECT digest FROM verdict WHERE tried_at < :then", then=now - _USED).scalars().all()
    wanted = frozenset(used)
    if still := [digest for digest in old if digest in wanted]:
        for number in range(0, len(still), _MOST_ASKED):
            some = still[number : number + _MOST_ASKED]
            execute(conn, "UPDATE verdict SET tried_at = :now WHERE digest IN :some", now=now, some=some)
    execute(conn, "DELETE FROM verdict WHERE tried_at < :then", then=now - UNUSED_FOR)


def _found(problems: str) -> Found:
    return tuple(Problem(**one) for one in json.loads(problems))
