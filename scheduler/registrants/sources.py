"""The state of each webinar's source: when it was read, why it is not followed, and which pull may write.

If two pulls of one webinar overlap, only the later one writes: it gives the source a new `run`, which each transaction
of a pull checks. So no lock outlives a process, and none is held while the source is read.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from secrets import token_hex

from sqlalchemy import Connection, select

from scheduler.database.engine import dialect, execute
from scheduler.database.models import PulledSource, table
from scheduler.registrants.rows import Person
from scheduler.troubles import Trouble

ANY_TIME = timedelta(days=-36500)
LONGEST_WORDS = 1000  # characters
ENDED = "."  # suffix of `followed`, with or without a digest: the last line had an end
HELD = "That is not followed; if it is right:"
_S = table(PulledSource)


class Overtaken(Trouble):
    """Another pull of the same webinar has begun since, or none may write any more."""


@dataclass(frozen=True)
class Run:
    """One pull, from when it began (UTC)."""

    webinar: str
    token: str
    salt: str
    began_at: datetime


@dataclass(frozen=True)
class SourceState:
    """The state of a webinar's source. Instants are UTC."""

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
        """Its trouble and note, each with the webinar's id."""
        here = f"the source of {self.webinar}: "
        since = f", since {self.trouble_since:%Y-%m-%d %H:%M} UTC" if self.trouble_since else ""
        trouble = [f"{here}{self.trouble}{since}"] if self.trouble else []
        return (*trouble, *([f"{here}{self.note}"] if self.note else []))


def begin(conn: Connection, now: datetime, webinar: str, every: timedelta = ANY_TIME) -> Run | None:
    """Begin a pull, which from now on is the only one that may write; None if another began less than `every` ago."""
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
        ahead=now + every,  # recorded before the clock was set back
    ).first()
    return Run(webinar, begun.run, begun.salt, now) if begun else None


def begun(conn: Connection, webinar: str, token: str) -> Run | None:
    """The pull with this token; None if it may no longer write."""
    row = conn.execute(select(_S).where(_S.c.webinar == webinar, _S.c.run == token)).first()
    return Run(webinar, row.run, row.salt, row.attempted_at) if row else None


def lock_run(conn: Connection, run: Run) -> None:
    """Keep other pulls of this webinar from writing until the end of the transaction. Raises Overtaken: also where it
    was cancelled meanwhile, or made a draft, or has ended, as before its people are removed."""
    ours = (
        "UPDATE source SET run = run WHERE webinar = :webinar AND run = :run AND NOT EXISTS"
        " (SELECT 1 FROM webinar w WHERE w.webinar = :webinar AND (w.status <> 'live' OR w.cancelled))"
    )
    if not execute(conn, ours, webinar=run.webinar, run=run.token).rowcount:
        raise Overtaken("another pull of this webinar has begun, or it is no longer live")


@dataclass(frozen=True)
class LastRead:
    """The results of earlier reads of a source."""

    salt: str
    gone_through_at: datetime | None = None
    seen: str = ""
    followed: str = ""
    people: int = 0
    nobodys: int = 0

    @property
    def had_end(self) -> bool:
        """Whether the last line of the content that was followed last had an end."""
        return self.followed.endswith(ENDED)


def last_read(conn: Connection, webinar: str) -> LastRead:
    """The results of earlier reads; empty for a source that was never pulled."""
    names = LastRead.__dataclass_fields__
    row = conn.execute(select(*(_S.c[name] for name in names)).where(_S.c.webinar == webinar)).first()
    return LastRead(**row._mapping) if row else LastRead("none")


def record_failure(conn: Connection, now: datetime, run: Run, words: str, seen: str = "") -> None:
    """Record why the source was not followed. `seen`: the digest of its content, if known."""
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


def record_followed(
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
    """Record that the source was compared row by row and followed. `whole`: completely; `trouble`: why not."""
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


def record_unchanged(conn: Connection, now: datetime, run: Run, digest: str) -> None:
    """Record that the source was read and its content is followed already."""
    execute(
        conn,
        "UPDATE source SET read_at = :now, seen = :digest, trouble = '', trouble_since = NULL, failures = 0"
        " WHERE webinar = :webinar AND run = :run",
        now=now,
        digest=digest,
        webinar=run.webinar,
        run=run.token,
    )


def states(conn: Connection) -> dict[str, SourceState]:
    """The state of every source, by webinar."""
    names = SourceState.__dataclass_fields__
    rows = conn.execute(select(*(_S.c[name] for name in names)).order_by(_S.c.webinar))
    return {row.webinar: SourceState(**row._mapping) for row in rows}


def digest_of(salt: str, words: str) -> str:
    """The salted digest of an address or of values, as `source_row` stores it."""
    return blake2b(words.encode("utf-8", "replace"), digest_size=16, key=salt.encode()).hexdigest()


def drop_source_rows(conn: Connection, folded: str) -> list[int]:
    """Delete the digests of a person with this address from all sources. Returns their rows of `registrants` that are
    copies: inserted by a source, and not registered by anybody else. No pull writes until the end of the transaction.
    """
    execute(conn, "UPDATE source SET run = run")
    sources = execute(conn, "SELECT webinar, salt FROM source").all()
    copies = [
        execute(
            conn,
            "DELETE FROM source_row WHERE webinar = :webinar AND person = :person RETURNING registrant_id, inserted",
            webinar=row.webinar,
            person=digest_of(row.salt, folded),
        ).first()
        for row in sources
    ]
    return [copy.registrant_id for copy in copies if copy and copy.inserted]


def keep_rows_of(conn: Connection, people: Collection[Person]) -> None:
    """Keep sources from deleting the rows of these people, whom somebody else registers, too."""
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
