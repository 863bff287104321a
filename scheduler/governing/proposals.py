"""Proposals from the services' folders, and when a proposal governs.

A file is a proposal; what governs is a row in the database, the same for every service. Each service records the
sound contents of its folder (`publish`) and reads those of the others (`holding`); `decide` draws the conclusion for
one name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal, NamedTuple

from sqlalchemy import Connection, func, select, tuple_

from scheduler.database.engine import dialect, execute, one_proposer
from scheduler.database.models import FileSeen, table

Kind = Literal["webinar", "text", "layout"]

STABLE_AFTER = timedelta(minutes=1)
"""A folder holds a content permanently after this time: restarts and rollouts are shorter."""
_FORGOTTEN = timedelta(days=1)


@dataclass(frozen=True)
class Held:
    """The sound content that a service's folder holds under a name, or held last."""

    sha256: str
    since: datetime
    until: datetime | None = None
    """When the folder stopped holding it, or the service was found to be gone; None: the folder holds it."""


class Revision(NamedTuple):
    """A stored revision that governs."""

    id: int
    sha256: str
    sound_since: datetime


class Proposed(NamedTuple):
    """The result of `propose` for the contents of this service's folder."""

    govern: list[str]
    """The names whose content is to govern and does not yet."""
    lag: bool
    """Whether other contents do not govern either; they may later."""


class Decision(Enum):
    """A decision about the revision that governs, or the one that waits."""

    NOTHING = "nothing changes"
    OURS = "the content of this service's folder governs"
    DROP = "the waiting content is dropped"


def decide(
    now: datetime,
    ours: int,
    running: Collection[int],
    held: Mapping[int, Held],
    *,
    new: bool,
    changed: bool,
    governing: str | None,
    waiting: str | None = None,
) -> Decision:
    """The decision for one name, from what the services' folders hold under it (`held`, by service).

    `ours`: the number of this service; `running`: those of all running services; `new`: our content was never stored;
    `changed`: our folder held another content before, while this service ran (`publish` returns it).
    """
    known, own = (governing, waiting), held.get(ours)
    if own and not own.until and own.sha256 != waiting:
        if (new or changed or known == (None, None)) and own.sha256 != governing:
            return Decision.OURS
        if changed and waiting:
            return Decision.DROP  # the edit that waits was undone
        wanted = any(_counts(one, now) and one.sha256 in known for one in held.values())
        if own.since <= now - STABLE_AFTER and not wanted:
            return Decision.OURS
    if waiting and _abandoned(waiting, running, held, now):
        return Decision.DROP
    return Decision.NOTHING


def _counts(one: Held, now: datetime) -> bool:
    """Whether a content still counts as held: a service may restart, or its folder be mounted again."""
    return one.until is None or one.until > now - STABLE_AFTER


def _abandoned(waiting: str, running: Collection[int], held: Mapping[int, Held], now: datetime) -> bool:
    """Whether every running service's folder has held another sound content for STABLE_AFTER."""
    if any(_counts(one, now) and one.sha256 == waiting for one in held.values()):
        return False
    return all(
        (one := held.get(service)) is not None and one.until is None and one.since <= now - STABLE_AFTER
        for service in running
    )


def reset_holder(conn: Connection, holder: int) -> None:
    """Forget what an earlier service with this number held (on SQLite all have the same): called at a start."""
    execute(conn, "DELETE FROM file_seen WHERE holder = :holder", holder=holder)


def mark_running(conn: Connection, holder: int) -> None:
    """Record that this service runs, in case another one missed it. Called at least a few times a minute."""
    update = "UPDATE file_seen SET gone = NULL WHERE holder = :holder AND gone IS NOT NULL"
    execute(conn, update, holder=holder)


def publish(
    conn: Connection, now: datetime, holder: int, kind: Kind, contents: Mapping[str, str]
) -> set[str]:
    """Record the sound contents of this service's folder: SHA-256 by name. Returns the names whose content replaced
    another one while the service ran.

    No other service records or decides anything until the end of the transaction.
    """
    one_proposer(conn)
    mark_running(conn, holder)
    known = holding(conn, kind)
    own = {name: services[holder] for name, services in known.items() if holder in services}
    changed = {name for name in own.keys() & contents.keys() if own[name].sha256 != contents[name]}
    for name, sha256 in contents.items():
        if name in changed or name not in own or own[name].until:
            _hold(conn, now, holder, kind, name, sha256)
    gone = [name for name, one in own.items() if not one.until and name not in contents]
    if gone:
        update = "UPDATE file_seen SET until = :now WHERE holder = :holder AND kind = :kind AND name IN :gone"
        execute(conn, update, now=now, holder=holder, kind=kind, gone=gone)
    if (present := dialect(conn).holders(conn)) is not None:
        update = "UPDATE file_seen SET gone = :now WHERE gone IS NULL AND holder NOT IN :running"
        execute(conn, update, now=now, running=[*present, holder])
    long_ago = now - _FORGOTTEN
    execute(conn, "DELETE FROM file_seen WHERE until < :long_ago OR gone < :long_ago", long_ago=long_ago)
    return changed


def _hold(conn: Connection, now: datetime, holder: int, kind: Kind, name: str, sha256: str) -> None:
    upsert = (
        "INSERT INTO file_seen (holder, kind, name, sha256, since) VALUES (:holder, :kind, :name, :sha256, :now)"
        " ON CONFLICT (holder, kind, name)"
        " DO UPDATE SET sha256 = :sha256, since = :now, until = NULL, gone = NULL"
    )
    execute(conn, upsert, holder=holder, kind=kind, name=name, sha256=sha256, now=now)


def digest(source: str) -> str:
    """The SHA-256 that identifies a content."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def holding(conn: Connection, kind: Kind) -> dict[str, dict[int, Held]]:
    """The contents that the services' folders hold, or held last, by name and service."""
    file_seen = table(FileSeen)
    found: dict[str, dict[int, Held]] = {}
    for row in conn.execute(select(file_seen).where(file_seen.c.kind == kind)):
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
) -> Proposed:
    """Publish the contents of this service's folder, of a kind that does not wait, and decide which are to govern.

    `governing`: the revisions that govern now, by name; `was_stored`: whether this content of this name was ever
    stored.
    """
    changed = publish(conn, now, holder, kind, contents)
    stored = {name: revision.sha256 for name, revision in governing(conn).items()}
    other = [name for name, sha256 in contents.items() if stored.get(name) != sha256]
    folders, services = holding(conn, kind), running_services(conn, holder)
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
            governing=stored.get(name),
        )
    ]
    return Proposed(govern, lag=len(other) > len(govern))


def running_services(conn: Connection, holder: int) -> set[int]:
    """The numbers of the services that run, including this one."""
    return {*(dialect(conn).holders(conn) or ()), holder}


def differing_folders(conn: Connection, now: datetime) -> dict[tuple[Kind, str], list[str]]:
    """Files of which the folders of running services have held different sound contents for STABLE_AFTER: the
    contents by kind and name."""
    present = dialect(conn).holders(conn) or []
    if len(present) < 2:
        return {}
    file_seen = table(FileSeen)
    held = file_seen.c.holder.in_(present) & file_seen.c.until.is_(None) & file_seen.c.gone.is_(None)
    held &= file_seen.c.since <= now - STABLE_AFTER
    by_name = (file_seen.c.kind, file_seen.c.name)
    several = (
        select(*by_name).where(held).group_by(*by_name).having(func.count(file_seen.c.sha256.distinct()) > 1)
    )
    rows = select(*by_name, file_seen.c.sha256).where(held, tuple_(*by_name).in_(several)).order_by(*by_name)
    found: dict[tuple[Kind, str], list[str]] = {}
    for row in conn.execute(rows):
        found.setdefault((row.kind, row.name), []).append(row.sha256)
    return found
