"""Whether all replicas have read the same texts: each says what it has, and who looks can compare."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from scheduler.database.engine import dialect, run
from scheduler.organizers.texts import Key, digest

FOR = timedelta(minutes=1)
"""So long they may differ: a shared folder shows an edit to all of them within seconds."""
_FORGOTTEN = timedelta(days=1)


def publish(conn: Connection, now: datetime, holder: int, sources: Mapping[Key, str]) -> None:
    """Say which texts the service with this number has read from its files."""
    rows = run(conn, "SELECT message, language, sha256 FROM text_seen WHERE holder = :holder", holder=holder)
    there = {(row.message, row.language): row.sha256 for row in rows}
    here = {key: digest(source) for key, source in sources.items()}
    for key in [key for key in there if here.get(key) != there[key]]:
        run(
            conn,
            "DELETE FROM text_seen WHERE holder = :holder AND message = :message AND language = :language",
            holder=holder,
            message=key[0],
            language=key[1],
        )
    for key in [key for key in here if here[key] != there.get(key)]:
        run(
            conn,
            "INSERT INTO text_seen (holder, message, language, sha256, since)"
            " VALUES (:holder, :message, :language, :sha256, :now)",
            holder=holder,
            message=key[0],
            language=key[1],
            sha256=here[key],
            now=now,
        )
    if (present := dialect(conn).holders(conn)) is not None:
        run(
            conn,
            "DELETE FROM text_seen WHERE holder NOT IN :present AND since < :long_ago",
            present=[*present, holder],
            long_ago=now - _FORGOTTEN,
        )


def differing(conn: Connection, now: datetime) -> list[str]:
    """The texts of which the services that are there have had different versions for a minute, in words."""
    present = dialect(conn).holders(conn)
    if not present or len(present) < 2:
        return []
    rows = run(
        conn,
        "SELECT message, language FROM text_seen WHERE holder IN :present"
        " GROUP BY message, language HAVING max(since) < :before"
        " AND (count(DISTINCT sha256) > 1 OR count(*) < :all) ORDER BY message, language",
        present=present,
        before=now - FOR,
        all=len(present),
    )
    return [f"text {row.message}/{row.language}: replicas have read different versions of it" for row in rows]
