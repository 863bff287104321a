"""Retention of personal data: `keep_days` after its end a webinar's people are removed; counts of its mails stay.

A removal is announced a week before. It waits while a mail of the webinar may still go out, and while an edit waits,
which may move the webinar. It takes many small transactions, each of which keeps the counts right. Rows of
`registrants` belong to their owner and stay; they are not absorbed again unless the webinar gets a later date.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Boolean, Connection, bindparam, text

from scheduler.database.engine import as_list, dialect, execute, may_plan, one_proposer
from scheduler.database.models import Instant
from scheduler.ledger.statements import execute_named, statement
from scheduler.webinar.model import Webinar

ANNOUNCED = timedelta(days=7)
"""Least time between the announcement of a removal and the removal."""
ROWS_OF_A_PERSON = 20  # how many plain rows are deleted in the time of one registration and its calendars
_INSTANTS = ("ends_at", "not_before", "announced_at", "purge_at", "begun_at")


@dataclass(frozen=True)
class PastWebinar:
    """A webinar that is over, and the state of the removal of its people. Instants are UTC."""

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
        """Whether the removal has begun since this end; an earlier one was for an earlier date."""
        return self.begun_at is not None and self.begun_at >= self.ends_at

    @property
    def announced_for(self) -> datetime | None:
        """The announced time of the removal; None if there is none, or if the data is now kept for longer than that."""
        return self.purge_at if self.purge_at and self.purge_at >= self.kept_until else None

    def removal_at(self, now: datetime) -> datetime:
        """The time of the removal, if it is announced by `now`."""
        return self.announced_for or max(self.kept_until, now + ANNOUNCED)

    def must_be_announced(self, now: datetime) -> bool:
        """Whether the announcement is due: ANNOUNCED before the removal; at once where an upgrade postponed it."""
        if self.has_begun or self.announced_for:
            return False
        return self.kept_until == self.not_before or self.kept_until <= now + ANNOUNCED

    def is_due(self, now: datetime) -> bool:
        return self.has_begun or (self.announced_for is not None and self.announced_for <= now)


def kept_until(ends_at: datetime, keep_days: int, not_before: datetime | None) -> datetime:
    """Until when personal data is kept (UTC). `not_before`: the earliest removal after an upgrade."""
    until = ends_at + timedelta(days=keep_days)
    return max(until, not_before) if not_before else until


def past_webinars(conn: Connection, now: datetime) -> list[PastWebinar]:
    """The webinars that are over and still have personal data, by id."""
    query = text(statement("webinars_past", dialect(conn))).bindparams(bindparam("now", now, Instant()))
    typed = query.columns(edit_waits=Boolean(), **dict.fromkeys(_INSTANTS, Instant()))
    with dialect(conn).by_index(conn):
        return [PastWebinar(**row) for row in conn.execute(typed).mappings()]


def if_saved(conn: Connection, webinar: Webinar) -> tuple[PastWebinar, PastWebinar | None]:
    """The removal of this webinar's people by this revision, and by the one that governs (None if none does)."""
    columns = "w.ends_at, w.keep_days, p.not_before, p.announced_at, p.purge_at, p.begun_at"
    query = f"SELECT {columns} FROM webinar w LEFT JOIN purge p ON p.webinar = w.webinar WHERE w.webinar = :webinar"
    typed = text(query).columns(**dict.fromkeys(_INSTANTS, Instant()))
    row = conn.execute(typed, {"webinar": webinar.id}).mappings().first()
    before = PastWebinar(webinar=webinar.id, revision_id=0, **row) if row else None
    after = before or PastWebinar(webinar.id, webinar.end, webinar.keep_days, 0)
    return replace(after, ends_at=webinar.end, keep_days=webinar.keep_days), before


def count_people(conn: Connection, webinar: str) -> int:
    """The number of people that a removal would remove."""
    query = "SELECT count(*) FROM registration WHERE webinar = :webinar"
    return int(execute(conn, query, webinar=webinar).scalar_one())


def announce(conn: Connection, now: datetime, past: PastWebinar) -> PastWebinar:
    """Record that organizers are notified of this removal now. Returns its new state."""
    announced = replace(past, announced_at=now, purge_at=past.removal_at(now))
    execute(
        conn,
        "INSERT INTO purge (webinar, announced_at, purge_at) VALUES (:webinar, :now, :at)"
        " ON CONFLICT (webinar) DO UPDATE SET announced_at = excluded.announced_at, purge_at = excluded.purge_at",
        webinar=announced.webinar,
        now=now,
        at=announced.purge_at,
    )
    return announced


def is_removed(conn: Connection, webinar: str) -> bool:
    """Whether the removal of this webinar's people has begun since it ended."""
    query = (
        "SELECT 1 FROM purge p JOIN webinar w ON w.webinar = p.webinar"
        " WHERE p.webinar = :webinar AND p.begun_at >= w.ends_at"
    )
    return execute(conn, query, webinar=webinar).first() is not None


def was_removed_since(conn: Connection, webinar: str, then: datetime) -> bool:
    """Whether the removal of this webinar's people began after `then`: earlier records are gone."""
    query = "SELECT 1 FROM purge WHERE webinar = :webinar AND begun_at > :then"
    return execute(conn, query, webinar=webinar, then=then).first() is not None


def stays_removed(conn: Connection, webinar: Webinar) -> bool:
    """Whether this webinar's people were removed and this revision gives it no later date."""
    query = "SELECT 1 FROM purge WHERE webinar = :webinar AND begun_at >= :end"
    return execute(conn, query, webinar=webinar.id, end=webinar.end).first() is not None


def remove(conn: Connection, now: datetime, past: PastWebinar, most: int) -> int | None:
    """Remove up to `most` rows of a webinar whose removal is due, in this transaction. Returns the number removed; 0
    once nothing is left; None while it must wait for a mail that may still go out, an edit, or another service."""
    name = past.webinar
    if not may_plan(conn, name):
        return None
    if not is_removed(conn, name) and not _begin(conn, now, past):
        return None
    one_proposer(conn)  # no edit can give it a later date until the end of the transaction
    if not is_removed(conn, name) or _edit_waits(conn, name):
        return None
    with dialect(conn).by_index(conn):
        done = _count_and_delete(conn, name, most) or _delete_people(conn, name, most)
        return done or _delete_copies(conn, name, most) or _finish(conn, now, name, most)


def _begin(conn: Connection, now: datetime, past: PastWebinar) -> bool:
    """End the webinar, so that nobody plans it or absorbs its rows. Returns False if a mail of it may still go out, its
    date has changed, or an edit waits."""
    dialect(conn).wait_to_plan(conn, "intake")
    if execute_named(conn, "still_useful", webinar=past.webinar, now=now).scalar():
        return False
    one_proposer(conn)
    ended = execute(
        conn,
        "UPDATE webinar SET status = 'ended', plan = plan + 1, version = (SELECT max(version) + 1 FROM webinar)"
        " WHERE webinar = :webinar AND ends_at = :ends_at AND keep_days = :keep_days AND waiting_id IS NULL",
        webinar=past.webinar,
        ends_at=past.ends_at,
        keep_days=past.keep_days,
    )
    if ended.rowcount:
        execute(
            conn, "UPDATE purge SET begun_at = :now WHERE webinar = :webinar", now=now, webinar=past.webinar
        )
        # A pull that is under way writes nothing after this, and what it wrote before is seen from here on.
        execute(conn, "UPDATE source SET run = '' WHERE webinar = :webinar", webinar=past.webinar)
    return ended.rowcount > 0


def _edit_waits(conn: Connection, webinar: str) -> bool:
    query = "SELECT 1 FROM webinar WHERE webinar = :webinar AND waiting_id IS NOT NULL"
    return execute(conn, query, webinar=webinar).first() is not None


def _count_and_delete(conn: Connection, webinar: str, most: int) -> int:
    query = "SELECT id FROM delivery WHERE webinar = :webinar LIMIT :most"
    ids = list(execute(conn, query, webinar=webinar, most=most).scalars())
    if ids:
        execute_named(conn, "tally_up", ids=as_list(conn, ids))
        _delete(conn, "attempt", "delivery_id", ids)
        _delete(conn, "delivery", "id", ids)
    return len(ids)


def _delete_people(conn: Connection, webinar: str, most: int) -> int:
    """Delete people. Each counts as ROWS_OF_A_PERSON rows, for the rows and calendars that go with them."""
    query = "SELECT id FROM registration WHERE webinar = :webinar LIMIT :most"
    ids = list(execute(conn, query, webinar=webinar, most=max(1, most // ROWS_OF_A_PERSON)).scalars())
    if ids:
        delete_people(conn, ids)
        counted = "UPDATE purge SET people = people + :people WHERE webinar = :webinar"
        execute(conn, counted, people=len(ids), webinar=webinar)
    return len(ids) * ROWS_OF_A_PERSON


def _delete_copies(conn: Connection, webinar: str, most: int) -> int:
    """Delete the rows of `registrants` that the webinar's source inserted: they are our copies."""
    query = "SELECT person, registrant_id, inserted FROM source_row WHERE webinar = :webinar LIMIT :most"
    found = execute(conn, query, webinar=webinar, most=most).all()
    if ids := [row.registrant_id for row in found if row.inserted]:
        among = dialect(conn).among("id", "ids")
        copies = f"DELETE FROM registrants WHERE {among} AND webinar = :webinar"
        execute(conn, copies, ids=as_list(conn, ids), webinar=webinar)
    if people := [row.person for row in found]:
        delete = "DELETE FROM source_row WHERE webinar = :webinar AND person IN :people"
        execute(conn, delete, webinar=webinar, people=people)
    return len(found)


def delete_people(conn: Connection, ids: Collection[int]) -> int:
    """Delete these registrations with their invitations, `told`, former UIDs and the links mailed to them, but not
    their deliveries. Returns the number of versions of invitations deleted."""
    engine, given = dialect(conn), as_list(conn, ids)
    uids = execute(
        conn,
        f"SELECT uid FROM registration WHERE {engine.among('id', 'ids')}"
        f" UNION SELECT uid FROM former_uid WHERE {engine.among('registration_id', 'ids')}",
        ids=given,
    )
    invitations = _delete_calendars(conn, uids.scalars().all())
    _delete(conn, "former_uid", "registration_id", ids)
    execute(
        conn,
        f"DELETE FROM mailed_link WHERE purpose = 'data' AND {engine.among('subject_id', 'ids')}",
        ids=given,
    )
    _delete(conn, "registration", "id", ids)
    return invitations


def delete_former(conn: Connection, registration_id: int) -> int:
    """Delete the invitations and `told` of the UIDs that a registration had before its address was corrected. Returns
    the number of versions of invitations deleted."""
    uids = execute(conn, "SELECT uid FROM former_uid WHERE registration_id = :id", id=registration_id)
    invitations = _delete_calendars(conn, uids.scalars().all())
    _delete(conn, "former_uid", "registration_id", [registration_id])
    return invitations


def _delete_calendars(conn: Connection, uids: Collection[str]) -> int:
    if not uids:  # PostgreSQL cannot infer the type of an empty list
        return 0
    execute(conn, "DELETE FROM told WHERE uid IN :uids", uids=uids)
    return execute(conn, "DELETE FROM invitation WHERE uid IN :uids", uids=uids).rowcount


def _delete(conn: Connection, table: str, column: str, ids: Collection[int]) -> int:
    sql = f"DELETE FROM {table} WHERE {dialect(conn).among(column, 'ids')}"
    return execute(conn, sql, ids=as_list(conn, ids)).rowcount


def _finish(conn: Connection, now: datetime, webinar: str, most: int) -> int:
    """Delete the webinar's rows that belong to no registration: people who registered here or were confirmed elsewhere,
    what they chose, rows set aside, evidence for zones, its source. Returns the number of rows; 0 once done."""
    for table, column in _OF_WEBINAR.items():
        here = f"SELECT {column} FROM {table} WHERE webinar = :webinar LIMIT :most"
        delete = f"DELETE FROM {table} WHERE webinar = :webinar AND {column} IN ({here})"
        if rows := execute(conn, delete, webinar=webinar, most=most).rowcount:
            return rows
    for table in ("zone_evidence", "source"):
        execute(conn, f"DELETE FROM {table} WHERE webinar = :webinar", webinar=webinar)
    execute(conn, "UPDATE purge SET purged_at = :now WHERE webinar = :webinar", now=now, webinar=webinar)
    return 0


_OF_WEBINAR = {
    "signup": "id",
    "confirmed_elsewhere": "address_folded", "choice": "address_folded", "unwanted": "address_folded",
    "suppression": "address_folded", "row_set_aside": "registrant_id",
}  # fmt: skip
"""Tables with rows of one webinar, and the column by which a number of them is deleted."""
