"""Who gets what, when: registrations joined to due times become deliveries, in set-based SQL.

Every step compares what is stored with what is true and closes the gap. Rows of `registrants` become registrations;
due times follow the revision that governs; then whoever was planned by an earlier plan, or changed since, is planned
in chunks. Nothing is claimed for people who still wait for that. What is sent, failed or in doubt is never touched; a
next edition is added where something is due again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from scheduler.database.engine import as_list, dialect, execute, listed, may_plan
from scheduler.ledger.due_times import fill_in, plan_webinar, planned_for
from scheduler.ledger.refusals import counts_as_corrected
from scheduler.ledger.statements import execute_named
from scheduler.registrants.changes import Taken, take_changes
from scheduler.webinar.model import Webinar

MANY = 500  # rows in one transaction
CHUNK = 5000  # registrations planned in one transaction, at most


@dataclass(frozen=True)
class Governing:
    """The revision of a webinar that governs now."""

    webinar: Webinar
    revision_id: int
    plan: int
    sha256: str = ""
    """Of the file that the revision came from."""


def take_in(
    conn: Connection,
    now: datetime,
    governing: Mapping[str, Governing],
    return_within: timedelta,
    most: int | None = None,
    after: str | None = "",
) -> Taken:
    """Take in up to `most` changes of `registrants`: of the next webinar `after` this one, or the newest of all (None).
    Nothing, at once, where another service does."""
    if not may_plan(conn, "intake"):
        return Taken()
    webinars = {name: one.webinar for name, one in governing.items()}
    taken = take_changes(conn, now, webinars, return_within, limit=most, after=after)
    _new_recipients(conn, now, taken.moved_address)
    if taken.rows >= MANY:
        dialect(conn).many_rows_came(conn, "registration", "due_time", "planned_message")
    return taken


def webinars_to_plan(conn: Connection) -> dict[str, bool]:
    """The webinars in which people wait to be planned, and whether some do because something about them changed: of
    the others the webinar has. It costs the same however many webinars there are with nothing to do."""
    return {row.webinar: bool(row.waits) for row in execute_named(conn, "webinars_to_plan")}


def plan_people(conn: Connection, now: datetime, governing: Governing, most: int = CHUNK) -> int:
    """Plan up to `most` people of one webinar, those about whom something changed first. Returns how many; 0 where
    another service plans it."""
    name, number = governing.webinar.id, governing.plan
    present = execute(conn, "SELECT plan, behind FROM webinar WHERE webinar = :name", name=name).first()
    if not may_plan(conn, name) or present is None or present.plan != number:
        return 0
    if planned_for(conn, name) != number:
        plan_webinar(conn, now, governing.webinar, number)
    people = _plan_chunk(conn, now, governing, most)
    if present.behind and people < most:
        execute_named(conn, "planned", webinar=name, plan=number)
    return people


def _plan_chunk(conn: Connection, now: datetime, governing: Governing, most: int) -> int:
    name, number = governing.webinar.id, governing.plan
    chunk = execute_named(conn, "chunk_to_plan", webinar=name, plan=number, most=most).all()
    if not chunk:
        return 0
    fill_in(conn, governing.webinar, {row.zone for row in chunk} - {""})
    ids = as_list(conn, sorted(row.id for row in chunk))
    execute_named(conn, "bring_up_to_date", now=now, ids=ids)
    execute_named(conn, "send_again", now=now, ids=ids)
    execute_named(conn, "add_missing", now=now, ids=ids)
    execute_named(conn, "told_elsewhere", ids=ids)
    execute_named(conn, "add_notices", now=now, ids=ids)
    execute_named(conn, "settle_links", now=now, ids=ids)
    if len(chunk) >= MANY:
        dialect(conn).many_rows_came(conn, "delivery", "told")
    execute(
        conn,
        f"UPDATE registration SET plan = :plan WHERE id IN {listed(conn, 'ids')}",
        plan=number,
        ids=ids,
    )
    return len(chunk)


def _new_recipients(conn: Connection, now: datetime, ids: list[int]) -> None:
    """A changed address is a new recipient."""
    if ids:
        moved = as_list(conn, sorted(ids))
        execute_named(conn, "try_new_address", now=now, ids=moved)
        execute_named(conn, "confirm_new_address", now=now, ids=moved)
        counts_as_corrected(conn, moved)
