"""What an edit of a webinar means for what is planned: messages added or taken out, times moved, called off."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import pytz
from sqlalchemy import Connection, delete, insert, select

from scheduler.database.engine import run
from scheduler.database.models import DueTime, PlannedMessage, PlannedWebinar
from scheduler.registrants.zones import resolve_anew
from scheduler.timezones import tz_version
from scheduler.timing import Timing, timings
from scheduler.webinar import CANCELLATION, CHANGE, NOTICES, Webinar


@dataclass(frozen=True)
class Edit:
    """What changed between what was planned and the revision that governs now."""

    webinar: Webinar
    moved: bool = False  # to another time, or on again after it was called off
    notice: str = ""  # the built-in message that tells those who know the old facts
    only_shared_link: bool = False  # concerns only registrants without a link of their own


def planned_revisions(conn: Connection) -> dict[str, str]:
    """The revision from which each webinar was last planned."""
    rows = run(conn, "SELECT webinar, revision FROM planned_webinar")
    return {row.webinar: row.revision for row in rows}


def is_behind(conn: Connection, webinar: str, revision: str) -> bool:
    """Whether another replica has read a newer revision of this webinar's file than we have yet."""
    newest = "SELECT sha256 FROM webinar_revision WHERE webinar = :webinar ORDER BY id DESC LIMIT 1"
    return run(conn, newest, webinar=webinar).scalar() not in (None, revision)


def take_edit(conn: Connection, now: datetime, webinar: Webinar, revision: str) -> Edit | None:
    """Write down what governs now, and flag what it changes. None when nothing changed since."""
    table = PlannedWebinar.__table__  # type: ignore[attr-defined]
    before = conn.execute(select(table).where(table.c.webinar == webinar.id)).first()
    if before is not None and (before.revision, before.tz_version) == (revision, tz_version()):
        return None
    if before is None:
        _rows_of_unknown_webinar_come_back(conn, webinar)
    moved = before is not None and (before.starts_at, before.ends_at) != (webinar.start, webinar.end)
    if before is not None and (moved or before.tz_version != tz_version() or before.zone != str(webinar.tz)):
        resolve_anew(conn, webinar)
    turned = before is not None and before.cancelled != webinar.cancelled
    wider = _note_messages(conn, now, webinar, first=before is None)
    _note_due_times(conn, webinar, anew={one.id for one in webinar.messages} if turned else wider)
    if turned or moved:
        _flag_registrations(conn, webinar, NOTICES)
    _end_leases(conn, webinar)
    _note_webinar(conn, webinar, revision)
    if before is None:
        return Edit(webinar)
    link_moved = before.join_url != webinar.join_url
    changed_facts = moved or link_moved or before.cancelled
    notice = ""
    if webinar.cancelled:
        notice = "" if before.cancelled else CANCELLATION
    elif changed_facts:
        notice = CHANGE
    back_on = before.cancelled and not webinar.cancelled
    only_shared_link = not moved and not before.cancelled and not webinar.cancelled
    return Edit(webinar, moved or back_on, notice, only_shared_link)


def _rows_of_unknown_webinar_come_back(conn: Connection, webinar: Webinar) -> None:
    run(
        conn,
        "INSERT INTO registrant_change (registrant_id)"
        " SELECT registrant_id FROM row_set_aside WHERE webinar = :webinar",
        webinar=webinar.id,
    )


def _end_leases(conn: Connection, webinar: Webinar) -> None:
    """What is rendered and not yet on the wire says what was true before: it is rendered anew."""
    run(
        conn,
        "UPDATE delivery SET lease_token = NULL"
        " WHERE lease_token IS NOT NULL AND state = 'pending' AND webinar = :webinar",
        webinar=webinar.id,
    )


def _note_messages(conn: Connection, now: datetime, webinar: Webinar, *, first: bool) -> set[str]:
    """A message that is due on registration only since later concerns only those first seen afterwards.

    Returns the messages that concern more people than before.
    """
    table = PlannedMessage.__table__  # type: ignore[attr-defined]
    known = {row.message: row for row in conn.execute(select(table).where(table.c.webinar == webinar.id))}
    wider = set()
    for message in webinar.messages:
        from_now = now if message.on_registration and not first and not message.also_for_registered else None
        if message.id not in known:
            row = {"webinar": webinar.id, "message": message.id, "only_seen_from": from_now}
            conn.execute(
                insert(table), row | {"on_registration": message.on_registration, "in_sequence": True}
            )
            continue
        before = known[message.id]
        since = before.only_seen_from
        if message.also_for_registered:
            since = None
        elif message.on_registration and not before.on_registration:
            since = now
        if since is None and before.only_seen_from is not None:
            wider.add(message.id)
        ever = before.on_registration or message.on_registration
        conn.execute(
            table.update()
            .where(table.c.webinar == webinar.id, table.c.message == message.id)
            .values(only_seen_from=since, on_registration=ever, in_sequence=True)
        )
    gone = known.keys() - {message.id for message in webinar.messages}
    conn.execute(
        table.update()
        .where(table.c.webinar == webinar.id, table.c.message.in_(gone))
        .values(in_sequence=False)
    )
    return wider


def _note_due_times(conn: Connection, webinar: Webinar, *, anew: Collection[str]) -> None:
    """Bring due_time to this revision, zone by zone; flag the rows that say something new, and those `anew`."""
    table = DueTime.__table__  # type: ignore[attr-defined]
    stored = {
        (row.zone, row.message): row
        for row in conn.execute(select(table).where(table.c.webinar == webinar.id))
    }
    zones = {zone for zone, _ in stored} | _zones_in_use(conn, webinar)
    wanted = {
        (zone, timing.message): timing for zone in zones for timing in timings(webinar, pytz.timezone(zone))
    }
    gone = stored.keys() - wanted.keys()
    fresh = [
        key
        for key, timing in wanted.items()
        if key not in stored
        or key[1] in anew
        or (stored[key].due_at, stored[key].expires_at, stored[key].never)
        != (timing.due_at, timing.expires_at, timing.never)
    ]
    for zone, message in (*gone, *fresh):
        conn.execute(
            delete(table).where(
                table.c.webinar == webinar.id, table.c.zone == zone, table.c.message == message
            )
        )
    if rows := [due_row(webinar, key[0], wanted[key], changed=True) for key in fresh]:
        conn.execute(insert(table), rows)
    _flag_registrations(conn, webinar, {message for _, message in gone})


def due_row(webinar: Webinar, zone: str, timing: Timing, *, changed: bool) -> dict[str, object]:
    """One row of due_time; `changed` flags it for the planner."""
    return {
        "webinar": webinar.id,
        "zone": zone,
        "message": timing.message,
        "due_at": timing.due_at,
        "expires_at": timing.expires_at,
        "never": timing.never,
        "changed": changed,
    }


def _zones_in_use(conn: Connection, webinar: Webinar) -> set[str]:
    query = "SELECT DISTINCT zone FROM registration WHERE webinar = :webinar AND zone <> ''"
    return set(run(conn, query, webinar=webinar.id).scalars())


def _flag_registrations(conn: Connection, webinar: Webinar, messages: Iterable[str]) -> None:
    """What is pending of a message that was taken out has no due time to be found by."""
    if messages := list(messages):
        run(
            conn,
            "UPDATE registration SET replan = TRUE WHERE webinar = :webinar AND id IN"
            " (SELECT registration_id FROM delivery WHERE webinar = :webinar AND message IN :messages"
            "  AND state IN ('pending', 'held'))",
            webinar=webinar.id,
            messages=messages,
        )


def _note_webinar(conn: Connection, webinar: Webinar, revision: str) -> None:
    table = PlannedWebinar.__table__  # type: ignore[attr-defined]
    conn.execute(delete(table).where(table.c.webinar == webinar.id))
    conn.execute(
        insert(table),
        {
            "webinar": webinar.id,
            "revision": revision,
            "tz_version": tz_version(),
            "zone": str(webinar.tz),
            "starts_at": webinar.start,
            "ends_at": webinar.end,
            "join_url": webinar.join_url,
            "cancelled": webinar.cancelled,
        },
    )
