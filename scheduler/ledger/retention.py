"""How long personal data is kept: `keep_days` after its end a webinar's people are removed, and its mails are counted.

A removal is announced a week before, and waits while a mail of the webinar may still go out, and while an edit of it
waits, which may move it. It takes many small
transactions, each of which leaves everything that is counted right. The rows of `registrants` are their owner's: a
webinar whose people are removed has ended, so that nobody takes them in again unless it takes place again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Boolean, Connection, bindparam, text

from scheduler.database.engine import as_list, dialect, may_plan, one_proposer, run
from scheduler.database.models import Instant
from scheduler.ledger.statements import execute, statement
from scheduler.webinar import Webinar

ANNOUNCED = timedelta(days=7)
"""How long before it a removal is announced, at least."""
ROWS_OF_A_PERSON = 20  # that take as long to delete as one registration with its calendar


_INSTANTS = ("ends_at", "not_before", "announced_at", "purge_at", "begun_at")


@dataclass(frozen=True)
class Past:
    """A webinar that is over, and how the removal of its people stands. Instants are UTC."""

    webinar: str
    ends_at: datetime
    keep_days: int
    revision_id: int
    not_before: datetime | None = None
    announced_at: datetime | None = None
    purge_at: datetime | None = None
    begun_at: datetime | None = None
    edit_waits: bool = False

    @property
    def kept_until(self) -> datetime:
        return kept_until(self.ends_at, self.keep_days, self.not_before)

    @property
    def has_begun(self) -> bool:
        """Since this end: the webinar may have taken place again."""
        return self.begun_at is not None and self.begun_at >= self.ends_at

    @property
    def announced_for(self) -> datetime | None:
        """When it will be, as organizers were told; None where they were told of an earlier time than counts now."""
        return self.purge_at if self.purge_at and self.purge_at >= self.kept_until else None

    def would_be(self, now: datetime) -> datetime:
        """When it will be, if it is announced now at the latest."""
        return self.announced_for or max(self.kept_until, now + ANNOUNCED)

    def must_be_announced(self, now: datetime) -> bool:
        """A week before; at once where an upgrade put it off."""
        if self.has_begun or self.announced_for:
            return False
        return self.kept_until == self.not_before or self.kept_until <= now + ANNOUNCED

    def is_due(self, now: datetime) -> bool:
        return self.has_begun or (self.announced_for is not None and self.announced_for <= now)


def kept_until(ends_at: datetime, keep_days: int, not_before: datetime | None) -> datetime:
    """`not_before`: after an upgrade, when the first people may be removed."""
    until = ends_at + timedelta(days=keep_days)
    return max(until, not_before) if not_before else until


def past_webinars(conn: Connection, now: datetime) -> list[Past]:
    """The webinars that are over and of whose people something is kept, by id."""
    query = text(statement("webinars_past", dialect(conn))).bindparams(bindparam("now", now, Instant()))
    typed = query.columns(edit_waits=Boolean(), **dict.fromkeys(_INSTANTS, Instant()))
    with dialect(conn).by_index(conn):
        return [Past(**row) for row in conn.execute(typed).mappings()]


def if_saved(conn: Connection, webinar: Webinar) -> tuple[Past, Past | None]:
    """How the removal of this webinar's people would stand by this revision, and how it does by the one that governs
    (None: none does)."""
    columns = "w.ends_at, w.keep_days, p.not_before, p.announced_at, p.purge_at, p.begun_at"
    query = f"SELECT {columns} FROM webinar w LEFT JOIN purge p ON p.webinar = w.webinar WHERE w.webinar = :webinar"
    typed = text(query).columns(**dict.fromkeys(_INSTANTS, Instant()))
    row = conn.execute(typed, {"webinar": webinar.id}).mappings().first()
    before = Past(webinar=webinar.id, revision_id=0, **row) if row else None
    after = before or Past(webinar.id, webinar.end, webinar.keep_days, 0)
    return replace(after, ends_at=webinar.end, keep_days=webinar.keep_days), before


def people_of(conn: Connection, webinar: str) -> int:
    """How many people would be removed."""
    query = "SELECT count(*) FROM registration WHERE webinar = :webinar"
    return int(run(conn, query, webinar=webinar).scalar_one())


def announce(conn: Connection, now: datetime, past: Past) -> Past:
    """Note that organizers are told now of this removal."""
    told = replace(past, announced_at=now, purge_at=past.would_be(now))
    run(
        conn,
        "INSERT INTO purge (webinar, announced_at, purge_at) VALUES (:webinar, :now, :at)"
        " ON CONFLICT (webinar) DO UPDATE SET announced_at = excluded.announced_at, purge_at = excluded.purge_at",
        webinar=told.webinar,
        now=now,
        at=told.purge_at,
    )
    return told


def is_removed(conn: Connection, webinar: str) -> bool:
    """Whether this webinar's people are being removed, or were, since it ended."""
    query = (
        "SELECT 1 FROM purge p JOIN webinar w ON w.webinar = p.webinar"
        " WHERE p.webinar = :webinar AND p.begun_at >= w.ends_at"
    )
    return run(conn, query, webinar=webinar).first() is not None


def was_removed_since(conn: Connection, webinar: str, then: datetime) -> bool:
    """Whether the removal of this webinar's people began after that: what was recorded before is no longer there."""
    query = "SELECT 1 FROM purge WHERE webinar = :webinar AND begun_at > :then"
    return run(conn, query, webinar=webinar, then=then).first() is not None


def stays_removed(conn: Connection, webinar: Webinar) -> bool:
    """Whether this revision of a webinar whose people were removed has no later end: then it does not take place
    again."""
    query = "SELECT 1 FROM purge WHERE webinar = :webinar AND begun_at >= :end"
    return run(conn, query, webinar=webinar.id, end=webinar.end).first() is not None


def remove(conn: Connection, now: datetime, past: Past, most: int) -> int | None:
    """Remove up to so many rows of a webinar whose removal is due, in this transaction. Returns how many; 0 once
    nothing is left; None while it must wait: for a mail that may still go out, for an edit that waits, or for another
    service that is at it."""
    name = past.webinar
    if not may_plan(conn, name):
        return None
    if not is_removed(conn, name) and not _begin(conn, now, past):
        return None
    one_proposer(conn)  # until the end of the transaction nothing moves it, or lets it take place again
    if not is_removed(conn, name) or _edit_waits(conn, name):
        return None
    with dialect(conn).by_index(conn):
        done = _count_and_delete(conn, name, most) or _delete_people(conn, name, most)
        return done or _delete_copies(conn, name, most) or _finish(conn, now, name, most)


def _begin(conn: Connection, now: datetime, past: Past) -> bool:
    """End the webinar, so that nobody plans it or takes its rows in. False where a mail of it may still go out, or it
    has another date meanwhile, or is about to get one."""
    dialect(conn).wait_to_plan(conn, "intake")
    if execute(conn, "still_useful", webinar=past.webinar, now=now).scalar():
        return False
    one_proposer(conn)
    ended = run(
        conn,
        "UPDATE webinar SET status = 'ended', plan = plan + 1, version = (SELECT max(version) + 1 FROM webinar)"
        " WHERE webinar = :webinar AND ends_at = :ends_at AND keep_days = :keep_days AND waiting_id IS NULL",
        webinar=past.webinar,
        ends_at=past.ends_at,
        keep_days=past.keep_days,
    )
    if ended.rowcount:
        run(conn, "UPDATE purge SET begun_at = :now WHERE webinar = :webinar", now=now, webinar=past.webinar)
        # A pull that is under way writes nothing after this, and what it wrote before is seen from here on.
        run(conn, "UPDATE source SET run = '' WHERE webinar = :webinar", webinar=past.webinar)
    return ended.rowcount > 0


def _edit_waits(conn: Connection, webinar: str) -> bool:
    query = "SELECT 1 FROM webinar WHERE webinar = :webinar AND waiting_id IS NOT NULL"
    return run(conn, query, webinar=webinar).first() is not None


def _count_and_delete(conn: Connection, webinar: str, most: int) -> int:
    query = "SELECT id FROM delivery WHERE webinar = :webinar LIMIT :most"
    ids = list(run(conn, query, webinar=webinar, most=most).scalars())
    if ids:
        execute(conn, "tally_up", ids=as_list(conn, ids))
        _delete(conn, "attempt", "delivery_id", ids)
        _delete(conn, "delivery", "id", ids)
    return len(ids)


def _delete_people(conn: Connection, webinar: str, most: int) -> int:
    """A person has many rows, with large calendars: each counts for a number of them."""
    query = "SELECT id FROM registration WHERE webinar = :webinar LIMIT :most"
    ids = list(run(conn, query, webinar=webinar, most=max(1, most // ROWS_OF_A_PERSON)).scalars())
    if ids:
        delete_people(conn, ids)
        counted = "UPDATE purge SET people = people + :people WHERE webinar = :webinar"
        run(conn, counted, people=len(ids), webinar=webinar)
    return len(ids) * ROWS_OF_A_PERSON


def _delete_copies(conn: Connection, webinar: str, most: int) -> int:
    """Of `registrants` the rows that its source inserted: they are ours, and copies."""
    query = "SELECT person, registrant_id, inserted FROM source_row WHERE webinar = :webinar LIMIT :most"
    found = run(conn, query, webinar=webinar, most=most).all()
    if ids := [row.registrant_id for row in found if row.inserted]:
        among = dialect(conn).among("id", "ids")
        copies = f"DELETE FROM registrants WHERE {among} AND webinar = :webinar"
        run(conn, copies, ids=as_list(conn, ids), webinar=webinar)
    if people := [row.person for row in found]:
        delete = "DELETE FROM source_row WHERE webinar = :webinar AND person IN :people"
        run(conn, delete, webinar=webinar, people=people)
    return len(found)


def delete_people(conn: Connection, ids: Collection[int]) -> int:
    """Delete these registrations, with all by which their calendars and what they were told are known. Their deliveries
    are another matter. Returns how many versions of invitations that were."""
    engine, given = dialect(conn), as_list(conn, ids)
    uids = run(
        conn,
        f"SELECT uid FROM registration WHERE {engine.among('id', 'ids')}"
        f" UNION SELECT uid FROM former_uid WHERE {engine.among('registration_id', 'ids')}",
        ids=given,
    )
    invitations = _delete_calendars(conn, uids.scalars().all())
    _delete(conn, "former_uid", "registration_id", ids)
    _delete(conn, "registration", "id", ids)
    return invitations


def delete_former(conn: Connection, registration_id: int) -> int:
    """The same for the UIDs that one registration had before its address was corrected, and for no other."""
    uids = run(conn, "SELECT uid FROM former_uid WHERE registration_id = :id", id=registration_id)
    invitations = _delete_calendars(conn, uids.scalars().all())
    _delete(conn, "former_uid", "registration_id", [registration_id])
    return invitations


def _delete_calendars(conn: Connection, uids: Collection[str]) -> int:
    if not uids:  # PostgreSQL cannot infer the type of an empty list
        return 0
    run(conn, "DELETE FROM told WHERE uid IN :uids", uids=uids)
    return run(conn, "DELETE FROM invitation WHERE uid IN :uids", uids=uids).rowcount


def _delete(conn: Connection, table: str, column: str, ids: Collection[int]) -> int:
    sql = f"DELETE FROM {table} WHERE {dialect(conn).among(column, 'ids')}"
    return run(conn, sql, ids=as_list(conn, ids)).rowcount


def _finish(conn: Connection, now: datetime, webinar: str, most: int) -> int:
    """Delete what is no registration's: whom another system confirmed, rows set aside, what people wrote as their zone.
    Returns how many rows; 0 once it is done."""
    for table, column in (("confirmed_elsewhere", "address_folded"), ("row_set_aside", "registrant_id")):
        here = f"SELECT {column} FROM {table} WHERE webinar = :webinar LIMIT :most"
        delete = f"DELETE FROM {table} WHERE webinar = :webinar AND {column} IN ({here})"
        if rows := run(conn, delete, webinar=webinar, most=most).rowcount:
            return rows
    for table in ("zone_evidence", "source"):
        run(conn, f"DELETE FROM {table} WHERE webinar = :webinar", webinar=webinar)
    run(conn, "UPDATE purge SET purged_at = :now WHERE webinar = :webinar", now=now, webinar=webinar)
    return 0
