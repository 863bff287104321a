"""What the folders of the services propose, and when a proposal governs.

A file is a proposal; what governs is a row in the database, the same for every service. Each service records the sound
contents of its folder (`publish`) and sees those of the others (`holding`); `decide` says what follows for one name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal, NamedTuple

from sqlalchemy import Connection, func, select, tuple_

from scheduler.database.engine import dialect, execute, one_proposer
from scheduler.database.models import FileSeen, table

Kind = Literal["webinar", "text", "layout"]

AFTER = timedelta(minutes=1)
"""A folder has held a content for good after this time: restarts and rollouts are shorter."""
_FORGOTTEN = timedelta(days=1)


@dataclass(frozen=True)
class Held:
    """The sound content that one service's folder holds under a name, or held last."""

    sha256: str
    since: datetime
    until: datetime | None = None
    """When the folder ceased to hold it, or the service was found gone; None: it holds it."""


class Revision(NamedTuple):
    """A content that governs, as it is stored."""

    id: int
    sha256: str
    sound_since: datetime


class Ours(NamedTuple):
    """What follows for the contents of our folder."""

    govern: list[str]
    """The names of those that are to govern, and do not yet."""
    lag: bool
    """Whether there are others that do not: their time may come."""


class Decision(Enum):
    """What is to become of the content that governs, or waits."""

    NOTHING = "as it was"
    OURS = "the content of our folder governs"
    DROP = "the waiting content is dropped"


def decide(
    now: datetime,
    ours: int,
    live: Collection[int],
    held: Mapping[int, Held],
    *,
    new: bool,
    changed: bool,
    governing: str | None,
    waiting: str | None = None,
) -> Decision:
    """What follows for one name from what the services' folders hold of it (`held`, by service).

    `ours`: the number of this service; `live`: those of all that run; `new`: our content was never stored before;
    `changed`: our folder held another one before, while this service ran (`publish` says so).
    """
    known, own = (governing, waiting), held.get(ours)
    if own and not own.until and own.sha256 != waiting:
        if (new or changed or known == (None, None)) and own.sha256 != governing:
            return Decision.OURS
        if changed and waiting:
            return Decision.DROP  # the edit that waits was undone
        wanted = any(_counts(one, now) and one.sha256 in known for one in held.values())
        if own.since <= now - AFTER and not wanted:
            return Decision.OURS
    if waiting and _abandoned(waiting, live, held, now):
        return Decision.DROP
    return Decision.NOTHING


def _counts(one: Held, now: datetime) -> bool:
    """A service that restarts, or whose folder is mounted again, still stands for what it held."""
    return one.until is None or one.until > now - AFTER


def _abandoned(waiting: str, live: Collection[int], held: Mapping[int, Held], now: datetime) -> bool:
    """Whether every live service's folder has held another sound content for a while."""
    if any(_counts(one, now) and one.sha256 == waiting for one in held.values()):
        return False
    return all(
        (one := held.get(service)) is not None and one.until is None and one.since <= now - AFTER
        for service in live
    )


def begin(conn: Connection, holder: int) -> None:
    """A service starts: what an earlier one with its number held (on SQLite all have the same) is not its own."""
    execute(conn, "DELETE FROM file_seen WHERE holder = :holder", holder=holder)


def stay(conn: Connection, holder: int) -> None:
    """This service runs, even if another one has just missed it. Called at least a few times a minute."""
    execute(
        conn, "UPDATE file_seen SET gone = NULL WHERE holder = :holder AND gone IS NOT NULL", holder=holder
    )


def publish(
    conn: Connection, now: datetime, holder: int, kind: Kind, contents: Mapping[str, str]
) -> set[str]:
    """Record the sound contents of this service's folder: SHA-256 by name. Returns the names whose content took the
    place of another one while the service ran.

    Until the end of the transaction no other service records or decides anything.
    """
    one_proposer(conn)
    stay(conn, holder)
    known = holding(conn, kind)
    own = {name: services[holder] for name, services in known.items() if holder in services}
    changed = {name for name in own.keys() & contents.keys() if own[name].sha256 != contents[name]}
    for name, sha256 in contents.items():
        if name in changed or name not in own or own[name].until:
            _hold(conn, now, holder, kind, name, sha256)
    gone = [name for name, one in own.items() if not one.until and name not in contents]
    if gone:
        execute(
            conn,
            "UPDATE file_seen SET until = :now WHERE holder = :holder AND kind = :kind AND name IN :gone",
            now=now,
            holder=holder,
            kind=kind,
            gone=gone,
        )
    if (present := dialect(conn).holders(conn)) is not None:
        execute(
            conn,
            "UPDATE file_seen SET gone = :now WHERE gone IS NULL AND holder NOT IN :live",
            now=now,
            live=[*present, holder],
        )
    long_ago = now - _FORGOTTEN
    execute(conn, "DELETE FROM file_seen WHERE until < :long_ago OR gone < :long_ago", long_ago=long_ago)
    return changed


def _hold(conn: Connection, now: datetime, holder: int, kind: Kind, name: str, sha256: str) -> None:
    execute(
        conn,
        "INSERT INTO file_seen (holder, kind, name, sha256, since) VALUES (:holder, :kind, :name, :sha256, :now)"
        " ON CONFLICT (holder, kind, name)"
        " DO UPDATE SET sha256 = :sha256, since = :now, until = NULL, gone = NULL",
        holder=holder,
        kind=kind,
        name=name,
        sha256=sha256,
        now=now,
    )


def holding(conn: Connection, kind: Kind) -> dict[str, dict[int, Held]]:
    """What the services' folders hold, or held last, by name and service."""
    seen = table(FileSeen)
    found: dict[str, dict[int, Held]] = {}
    for row in conn.execute(select(seen).where(seen.c.kind == kind)):
        until = min((one for one in (row.until, row.gone) if one), default=None)
        found.setdefault(row.name, {})[row.holder] = Held(row.sha256, row.since, until)
    return found


def propose(
    conn: Connection,
    now: datetime,
    holder: int,
    kind: Kind,
    contents: Mapping[str, str],
    governing: Callable[[Connection], Mapping[str, Revision]],
    was_stored: Callable[[Connection, str, str], bool],
) -> Ours:
    """Publish what our folder holds of a kind of which nothing waits, and say what is to govern of it.

    `governing`: what does now, by name; `was_stored`: whether this content of this name ever did.
    """
    changed = publish(conn, now, holder, kind, contents)
    there = {name: revision.sha256 for name, revision in governing(conn).items()}
    other = [name for name, sha256 in contents.items() if there.get(name) != sha256]
    folders, services = holding(conn, kind), live(conn, holder)
    govern = [
        name
        for name in other
        if Decision.OURS
        is decide(
            now,
            holder,
            services,
            folders[name],
            new=not was_stored(conn, name, contents[name]),
            changed=name in changed,
            governing=there.get(name),
        )
    ]
    return Ours(govern, lag=len(other) > len(govern))


def live(conn: Connection, holder: int) -> set[int]:
    """The services that run, with oneself."""
    return {*(dialect(conn).holders(conn) or ()), holder}


def differing(conn: Connection, now: datetime) -> dict[tuple[Kind, str], list[str]]:
    """What the folders of the services that run have held different sound contents of for a minute, by kind and name,
    with what each holds."""
    present = dialect(conn).holders(conn) or []
    if len(present) < 2:
        return {}
    seen = table(FileSeen)
    held = seen.c.holder.in_(present) & seen.c.until.is_(None) & seen.c.gone.is_(None)
    held &= seen.c.since <= now - AFTER
    by_name = (seen.c.kind, seen.c.name)
    several = select(*by_name).where(held).group_by(*by_name).having(func.count(seen.c.sha256.distinct()) > 1)
    rows = select(*by_name, seen.c.sha256).where(held, tuple_(*by_name).in_(several)).order_by(*by_name)
    found: dict[tuple[Kind, str], list[str]] = {}
    for row in conn.execute(rows):
        found.setdefault((row.kind, row.name), []).append(row.sha256)
    return found
