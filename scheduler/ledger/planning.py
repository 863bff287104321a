"""Planning: registrations joined to due times become deliveries, in set-based SQL.

Every step compares stored state with current facts and writes the difference. Rows of `registrants` become
registrations; due times follow the revision that governs; then people who were planned by an earlier plan, or changed
since, are planned in chunks. Until then none of their deliveries is claimed. Deliveries that are sent, failed or in
doubt are never changed; a message that is due again gets a delivery of the next edition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from scheduler.database.engine import as_list, dialect, execute, listed, may_plan
from scheduler.ledger.due_times import fill_in, plan_webinar, planned_for
from scheduler.ledger.refusals import mark_corrected
from scheduler.ledger.statements import execute_named
from scheduler.registrants.changes import Absorbed, absorb_changes
from scheduler.webinar.model import Webinar

MANY = 500  # rows in one transaction
MOST_ASKED, A_DAY = 3, timedelta(days=1)
"""How many mails a registrant may cause by asking for one again, withdrawing and coming back, and in which time."""
CHUNK = 5000  # registrations planned in one transaction, at most


@dataclass(frozen=True)
class Governing:
    """The revision of a webinar that governs now."""

    webinar: Webinar
    revision_id: int
    plan: int
    sha256: str = ""
    """SHA-256 of the file that the revision came from."""


def absorb(
    conn: Connection,
    now: datetime,
    governing: Mapping[str, Governing],
    return_within: timedelta,
    most: int | None = None,
    after: str | None = "",
) -> Absorbed:
    """Absorb up to `most` changes of `registrants`: of the next webinar after `after`, or the newest of all (None).
    Returns an empty result at once where another service is doing this."""
    if not may_plan(conn, "intake"):
        return Absorbed()
    webinars = {name: one.webinar for name, one in governing.items()}
    absorbed = absorb_changes(conn, now, webinars, return_within, limit=most, after=after)
    _plan_new_addresses(conn, now, absorbed.moved_address)
    if absorbed.rows >= MANY:
        dialect(conn).analyze_grown(conn, "registration", "due_time", "planned_message")
    return absorbed


def webinars_to_plan(conn: Connection) -> dict[str, bool]:
    """The webinars in which people wait to be planned: True where a person changed, False where only the webinar did.
    The cost does not depend on the number of webinars with nothing to do."""
    return {row.webinar: bool(row.waits) for row in execute_named(conn, "webinars_to_plan")}


def plan_people(conn: Connection, now: datetime, governing: Governing, most: int = CHUNK) -> int:
    """Plan up to `most` people of one webinar, those who changed first. Returns the number; 0 if another service
    does."""
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
    _plan(conn, now, governing, {row.id: row.zone for row in chunk})
    if len(chunk) >= MANY:
        dialect(conn).analyze_grown(conn, "delivery", "told")
    return len(chunk)


def plan_person(conn: Connection, now: datetime, governing: Governing, registration_id: int) -> bool:
    """Plan one person at once, whose registration this transaction has locked and set to plan 0.

    Returns False where the service plans them soon: it has not planned this revision yet, or the database was set back
    and planned mails are to be held. Until then none of their mails goes out.
    """
    name, number = governing.webinar.id, governing.plan
    locked = f"SELECT plan FROM planned_webinar WHERE webinar = :name {dialect(conn).share_skipping}"
    planned = execute(conn, locked, name=name).scalar()
    present = execute(conn, "SELECT plan FROM webinar WHERE webinar = :name", name=name).scalar()
    if not number == planned == present or execute(conn, "SELECT 1 FROM ledger WHERE hold_planned").first():
        return False
    zone = execute(conn, "SELECT zone FROM registration WHERE id = :id", id=registration_id).scalar_one()
    _plan(conn, now, governing, {registration_id: zone})
    return True


def _plan(conn: Connection, now: datetime, governing: Governing, zones: Mapping[int, str]) -> None:
    """Plan these registrations, by id with their zones."""
    fill_in(conn, governing.webinar, set(zones.values()) - {""})
    ids = as_list(conn, sorted(zones))
    execute_named(conn, "bring_up_to_date", now=now, ids=ids)
    execute_named(conn, "send_again", now=now, ids=ids)
    asked: Mapping[str, Any] = {"most": MOST_ASKED, "since": now - A_DAY, "later": now + A_DAY}
    execute_named(conn, "confirm_return", now=now, ids=ids, **asked)
    execute_named(conn, "add_missing", now=now, ids=ids)
    execute_named(conn, "told_elsewhere", ids=ids)
    execute_named(conn, "add_notices", now=now, ids=ids, **asked)
    execute_named(conn, "settle_links", now=now, ids=ids)
    execute(
        conn,
        f"UPDATE registration SET plan = :plan WHERE id IN {listed(conn, 'ids')}",
        plan=governing.plan,
        ids=ids,
    )


def _plan_new_addresses(conn: Connection, now: datetime, ids: list[int]) -> None:
    """Treat these registrations, whose address changed, as new recipients."""
    if ids:
        moved = as_list(conn, sorted(ids))
        execute_named(conn, "try_new_address", now=now, ids=moved)
        execute_named(conn, "confirm_new_address", now=now, ids=moved)
        mark_corrected(conn, moved)
