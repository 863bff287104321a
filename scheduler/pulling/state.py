"""How it stands with each webinar's source: when it was read, what keeps it from being followed, and who may write.

Of two pulls of one webinar the later one writes: it gives the source a new `run`, which each transaction of a pull
looks for. So no lock outlives a process, and none is held while anything outside is read.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from secrets import token_hex

from sqlalchemy import Connection, select

from scheduler.database.engine import dialect
from scheduler.database.engine import run as execute
from scheduler.database.models import PulledSource
from scheduler.registrants.rows import Person
from scheduler.troubles import Trouble

ANY_TIME = timedelta(days=-36500)
LONGEST_WORDS = 1000  # characters
ENDED = "."  # behind the digest of what is followed, also where that is not whole: its last line had an end
HELD = "That is not followed; if it is right:"
_S = PulledSource.__table__  # type: ignore[attr-defined]


class Overtaken(Trouble):
    """Another pull of the same webinar has begun since."""


@dataclass(frozen=True)
class Run:
    """One pull, from when it began."""

    webinar: str
    token: str
    salt: str


@dataclass(frozen=True)
class Standing:
    """How it stands with a webinar's source. Instants in UTC."""

    webinar: str
    attempted_at: datetime
    read_at: datetime | None
    people: int
    note: str
    trouble: str
    trouble_since: datetime | None
    failures: int

    @property
    def words(self) -> tuple[str, ...]:
        """What somebody should know, each beginning with whose source it is."""
        here = f"the source of {self.webinar}: "
        since = f", since {self.trouble_since:%Y-%m-%d %H:%M} UTC" if self.trouble_since else ""
        trouble = [f"{here}{self.trouble}{since}"] if self.trouble else []
        return (*trouble, *([f"{here}{self.note}"] if self.note else []))


def begin(conn: Connection, now: datetime, webinar: str, every: timedelta = ANY_TIME) -> Run | None:
    """Let this pull be the one that writes; None where one began less than `every` ago."""
    begun = execute(
        conn,
        "INSERT INTO source (webinar, salt, run, attempted_at) VALUES (:webinar, :salt, :token, :now)"
        " ON CONFLICT (webinar) DO UPDATE SET run = excluded.run, attempted_at = excluded.attempted_at"
        " WHERE source.attempted_at <= :before OR source.attempted_at >= :ahead RETURNING run, salt",
        webinar=webinar,
        salt=token_hex(16),
        token=token_hex(8),
        now=now,
        before=now - every,
        ahead=now + every,  # by a clock that was set back since
    ).first()
    return Run(webinar, begun.run, begun.salt) if begun else None


def begun(conn: Connection, webinar: str, token: str) -> Run | None:
    """The pull with this token, where it may still write."""
    row = conn.execute(select(_S).where(_S.c.webinar == webinar, _S.c.run == token)).first()
    return Run(webinar, row.run, row.salt) if row else None


def must_be_ours(conn: Connection, run: Run) -> None:
    """Keep other pulls of this webinar from writing until the end of the transaction. Raises Overtaken."""
    ours = "UPDATE source SET run = run WHERE webinar = :webinar AND run = :run"
    if not execute(conn, ours, webinar=run.webinar, run=run.token).rowcount:
        raise Overtaken("another pull of this webinar has begun")


@dataclass(frozen=True)
class Before:
    """What the last reads found."""

    salt: str
    gone_through_at: datetime | None = None
    seen: str = ""
    followed: str = ""
    people: int = 0
    nobodys: int = 0

    @property
    def had_end(self) -> bool:
        """Whether the last line of what was followed last had an end."""
        return self.followed.endswith(ENDED)


def before(conn: Connection, webinar: str) -> Before:
    """Of a source that was never pulled, nothing."""
    names = Before.__dataclass_fields__
    row = conn.execute(select(*(_S.c[name] for name in names)).where(_S.c.webinar == webinar)).first()
    return Before(**row._mapping) if row else Before("none")


def failed(conn: Connection, now: datetime, run: Run, words: str, seen: str = "") -> None:
    """Note why it was not followed. `seen`: the digest of what it holds, where that is known."""
    execute(
        conn,
        "UPDATE source SET trouble = :words, trouble_since = coalesce(trouble_since, :now), failures = failures + 1,"
        " seen = :seen WHERE webinar = :webinar AND run = :run",
        words=words[:LONGEST_WORDS],
        now=now,
        seen=seen,
        webinar=run.webinar,
        run=run.token,
    )


def followed(
    conn: Connection,
    now: datetime,
    run: Run,
    digest: str,
    *,
    whole: bool,
    has_end: bool,
    people: int,
    nobodys: int,
    note: str,
    trouble: str,
) -> None:
    """Note that it was gone through, and followed: as a `whole`, but for its `trouble`."""
    execute(
        conn,
        "UPDATE source SET read_at = :now, gone_through_at = :now, seen = :digest, followed = :followed,"
        " people = CASE WHEN :trouble = '' THEN :people ELSE people END, nobodys = :nobodys, note = :note,"
        " trouble = :trouble,"
        " trouble_since = CASE WHEN :trouble = '' THEN NULL ELSE coalesce(trouble_since, :now) END,"
        " failures = CASE WHEN :trouble = '' THEN 0 ELSE failures + 1 END"
        " WHERE webinar = :webinar AND run = :run",
        now=now,
        digest=digest,
        followed=(digest if whole else "") + (ENDED if has_end else ""),
        people=people,
        nobodys=nobodys,
        note=note[:LONGEST_WORDS],
        trouble=trouble[:LONGEST_WORDS],
        webinar=run.webinar,
        run=run.token,
    )


def unchanged(conn: Connection, now: datetime, run: Run, digest: str) -> None:
    """Note that it holds what is followed already."""
    execute(
        conn,
        "UPDATE source SET read_at = :now, seen = :digest, trouble = '', trouble_since = NULL, failures = 0"
        " WHERE webinar = :webinar AND run = :run",
        now=now,
        digest=digest,
        webinar=run.webinar,
        run=run.token,
    )


def standing(conn: Connection) -> dict[str, Standing]:
    """By webinar."""
    names = Standing.__dataclass_fields__
    rows = conn.execute(select(*(_S.c[name] for name in names)).order_by(_S.c.webinar))
    return {row.webinar: Standing(**row._mapping) for row in rows}


def digest_of(salt: str, words: str) -> str:
    """By which `source_row` knows an address, or values."""
    return blake2b(words.encode("utf-8", "replace"), digest_size=16, key=salt.encode()).hexdigest()


def said_by_others(conn: Connection, people: Collection[Person]) -> None:
    """Note that somebody else names these people, too: their rows are no source's alone, which deletes none of them."""
    salts = {row.webinar: row.salt for row in execute(conn, "SELECT webinar, salt FROM source")}
    named = [[webinar, digest_of(salts[webinar], folded)] for webinar, folded in people if webinar in salts]
    if not named:
        return
    engine = dialect(conn)
    given = engine.rows("people", {"webinar": "text", "person": "text"})
    with engine.by_index(conn):
        execute(
            conn,
            f"UPDATE source_row SET inserted = FALSE FROM {given} AS p"
            " WHERE source_row.webinar = p.webinar AND source_row.person = p.person AND source_row.inserted",
            people=json.dumps(sorted(named)),
        )
