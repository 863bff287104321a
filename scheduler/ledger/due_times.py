"""Due times: when each message of a webinar is due in each of its people's zones, by the revision that governs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

import pytz
from sqlalchemy import Connection, delete, insert, select

from scheduler.database.engine import dialect, execute
from scheduler.database.models import DueTime, PlannedMessage, PlannedWebinar, table
from scheduler.registrants.zones import resolve_again
from scheduler.webinar.model import Webinar
from scheduler.webinar.timing import Timing, timings
from scheduler.zones.wall import knowledge_version


def plan_webinar(conn: Connection, now: datetime, webinar: Webinar, plan: int) -> None:
    """Update due times, messages and zones of this webinar to the revision that governs, and store its plan.

    Its registrations are then behind that plan; `planning` plans them again in chunks.
    """
    planned = table(PlannedWebinar)
    before = conn.execute(select(planned).where(planned.c.webinar == webinar.id)).first()
    facts = {
        "tz_version": knowledge_version(),
        "zone": str(webinar.tz),
        "starts_at": webinar.start,
        "ends_at": webinar.end,
    }
    if before and any(getattr(before, name) != value for name, value in facts.items()):
        resolve_again(conn, webinar)
    _note_messages(conn, now, webinar, first=before is None)
    _note_due_times(conn, webinar)
    conn.execute(delete(planned).where(planned.c.webinar == webinar.id))
    conn.execute(insert(planned), {"webinar": webinar.id, "plan": plan, **facts})


def planned_for(conn: Connection, webinar: str) -> int | None:
    """The plan for which this webinar's due times are up to date; None if it was never planned."""
    query = "SELECT plan FROM planned_webinar WHERE webinar = :webinar"
    return execute(conn, query, webinar=webinar).scalar()


def planned_webinars(conn: Connection) -> dict[str, int]:
    """The plan for which each webinar's due times are up to date."""
    return {row.webinar: row.plan for row in execute(conn, "SELECT webinar, plan FROM planned_webinar")}


def fill_in(conn: Connection, webinar: Webinar, zones: Iterable[str]) -> None:
    """Add the due times of zones that are new to this webinar."""
    known = execute(conn, "SELECT DISTINCT zone FROM due_time WHERE webinar = :webinar", webinar=webinar.id)
    _insert(
        conn,
        [
            _row(webinar, zone, timing)
            for zone in set(zones) - set(known.scalars())
            for timing in timings(webinar, pytz.timezone(zone))
        ],
    )


def _note_messages(conn: Connection, now: datetime, webinar: Webinar, *, first: bool) -> None:
    """Update planned_message. A message that later became due on registration is only for people first seen since."""
    messages = table(PlannedMessage)
    stored = conn.execute(select(messages).where(messages.c.webinar == webinar.id))
    known = {row.message: row for row in stored}
    for message in webinar.messages:
        from_now = now if message.on_registration and not first and not message.also_for_registered else None
        if message.id not in known:
            row = {"webinar": webinar.id, "message": message.id, "only_seen_from": from_now}
            conn.execute(
                insert(messages), row | {"on_registration": message.on_registration, "in_sequence": True}
            )
            continue
        before = known[message.id]
        since = before.only_seen_from
        if message.also_for_registered:
            since = None
        elif message.on_registration and not before.on_registration:
            since = now
        ever = before.on_registration or message.on_registration
        conn.execute(
            messages.update()
            .where(messages.c.webinar == webinar.id, messages.c.message == message.id)
            .values(only_seen_from=since, on_registration=ever, in_sequence=True)
        )
    gone = known.keys() - {message.id for message in webinar.messages}
    conn.execute(
        messages.update()
        .where(messages.c.webinar == webinar.id, messages.c.message.in_(gone))
        .values(in_sequence=False)
    )


def _note_due_times(conn: Connection, webinar: Webinar) -> None:
    """Update due_time to this revision; only rows that differ are written."""
    times = table(DueTime)
    of_webinar = times.c.webinar == webinar.id
    rows = conn.execute(select(times).where(of_webinar)).mappings()
    stored = {(row["zone"], row["message"]): dict(row) for row in rows}
    # A later tz database may lack a zone that is stored.
    zones = {zone for zone, _ in stored if zone in pytz.all_timezones_set} | _zones_in_use(conn, webinar)
    wanted = {
        (zone, timing.message): _row(webinar, zone, timing)
        for zone in zones
        for timing in timings(webinar, pytz.timezone(zone))
    }
    for zone, message in [key for key, row in stored.items() if wanted.get(key) != row]:
        conn.execute(delete(times).where(of_webinar, times.c.zone == zone, times.c.message == message))
    _insert(conn, [row for key, row in wanted.items() if stored.get(key) != row])


def _insert(conn: Connection, rows: list[dict[str, object]]) -> None:
    """Insert due times. Those of a zone in which another transaction plans somebody at this moment may be there."""
    if not rows:
        return
    engine = dialect(conn)
    names = ", ".join(_COLUMNS)
    cells = [
        [engine.written(cell) if isinstance(cell, datetime) else cell for cell in map(row.get, _COLUMNS)]
        for row in rows
    ]
    execute(
        conn,
        f"INSERT INTO due_time ({names}) SELECT {names} FROM {engine.rows('rows', _COLUMNS)} AS rows"
        " WHERE TRUE ON CONFLICT DO NOTHING",
        rows=json.dumps(cells),
    )


_COLUMNS = {
    "webinar": "text", "message": "text", "zone": "text", "due_at": "timestamptz", "expires_at": "timestamptz",
    "never": "text",
}  # fmt: skip


def _row(webinar: Webinar, zone: str, timing: Timing) -> dict[str, object]:
    return {
        "webinar": webinar.id,
        "message": timing.message,
        "zone": zone,
        "due_at": timing.due_at,
        "expires_at": timing.expires_at,
        "never": timing.never,
    }


def _zones_in_use(conn: Connection, webinar: Webinar) -> set[str]:
    query = "SELECT DISTINCT zone FROM registration WHERE webinar = :webinar AND zone <> ''"
    return set(execute(conn, query, webinar=webinar.id).scalars())
