"""Removes people whose webinar is long over: announces it, waits, and removes them in small transactions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from scheduler import alerts
from scheduler.alerts import AlertKey
from scheduler.database.chunk import Chunk
from scheduler.database.engine import Database, execute
from scheduler.governing.webinars import instant_text
from scheduler.ledger.retention import PastWebinar, announce, count_people, past_webinars, remove
from scheduler.problem import Problems
from scheduler.readiness import Reason
from scheduler.reports.retention import NAMED, Coming, notes
from scheduler.webinar.model import read_webinar

log = structlog.get_logger()

LOOK_EVERY = timedelta(minutes=1)
FIRST = 100  # rows in the first transaction


class Purger:
    """Removes personal data from one database. A kill at any point does no harm: the next run goes on from there."""

    def __init__(self, database: Database) -> None:
        self.notes: tuple[Reason, ...] = ()
        """The webinars whose people are about to be removed."""
        self._database = database
        self._chunk = Chunk(others_wait=not database.dialect.takes_replicas)
        self._chunk.rows = FIRST
        self._look_at: datetime | None = None
        self._due: list[PastWebinar] = []
        self._known: dict[tuple[str, int, datetime | None, bool], Coming] = {}
        self._told: Mapping[AlertKey, str] | None = None

    async def purge(self, now: datetime, seconds: float) -> bool:
        """Remove what is due, for `seconds`. Returns True when there is more to do at once."""
        if self._look_at is None or now >= self._look_at:
            past = await self._database.run_reading(lambda conn: past_webinars(conn, now))
            if any(one.must_be_announced(now) for one in past):
                past = await self._database.run(_announce, now, past)
            await self._tell(now, past)
            self._due = [one for one in past if one.is_due(now) and not one.edit_waits]
            self._look_at = now + LOOK_EVERY
        end = time.monotonic() + seconds
        while self._due:
            if not await self._remove(now, self._due[0]):
                del self._due[0]
            if time.monotonic() >= end:
                break
        return bool(self._due)

    async def _remove(self, now: datetime, past: PastWebinar) -> bool:
        """Run one transaction. Returns False when nothing is left, or when it must wait."""
        began, most = time.monotonic(), self._chunk.rows
        rows = await self._database.run(remove, now, past, most)
        if rows:
            self._chunk.record(rows, time.monotonic() - began)
            await asyncio.sleep(self._chunk.pause)
        elif rows == 0:
            log.info("personal data removed", webinar=past.webinar)
        return bool(rows)

    async def _tell(self, now: datetime, past: Iterable[PastWebinar]) -> None:
        """Notify organizers, with one mail for all removals that are announced together, and update `notes`."""
        announced = [one for one in past if one.announced_for and (one.edit_waits or not one.is_due(now))]
        keys = {(one.webinar, one.revision_id, one.announced_at, one.edit_waits): one for one in announced}
        if keys.keys() - self._known.keys():
            found = await self._database.run_reading(
                lambda conn: [_coming(conn, one) for one in keys.values()]
            )
            self._known = dict(zip(keys, found, strict=True))
        self._known = {key: one for key, one in self._known.items() if key in keys}
        found = sorted(
            (one for one in self._known.values() if one.people), key=lambda one: (one.at, one.webinar)
        )
        self.notes, words = notes(found), _mails(one for one in found if one.at > now)
        if words != self._told:
            await self._database.run(alerts.reconcile, now, words, alerts.RETENTION, once=True)
            self._told = words


def _announce(conn: Connection, now: datetime, past: Iterable[PastWebinar]) -> list[PastWebinar]:
    return [announce(conn, now, one) if one.must_be_announced(now) else one for one in past]


def _coming(conn: Connection, past: PastWebinar) -> Coming:
    query = "SELECT source, file FROM webinar_revision WHERE id = :id"
    row = execute(conn, query, id=past.revision_id).first()
    try:
        alert_to = read_webinar(row.source, row.file).alert_to if row else ""
    except Problems:  # sound for another version of this program only
        alert_to = ""
    at = past.announced_for or past.kept_until
    people = count_people(conn, past.webinar)
    return Coming(past.webinar, people, at, alert_to, past.announced_at, past.edit_waits)


def _mails(found: Iterable[Coming]) -> dict[AlertKey, str]:
    """The mail for each organizer and announcement."""
    together: dict[AlertKey, list[Coming]] = {}
    for one in found:
        key = f"{alerts.RETENTION}{one.at:%Y-%m-%d %H:%M}, announced {one.announced_at:%Y-%m-%d %H:%M:%S}"
        if one.alert_to:
            together.setdefault(AlertKey(key, one.alert_to), []).append(one)
    return {wrong: _words(webinars) for wrong, webinars in together.items()}


def _words(webinars: list[Coming]) -> str:
    named = [f"{one.webinar} ({one.who})" for one in webinars[:NAMED]]
    more = [f"{len(webinars) - NAMED} more webinars"] if len(webinars) > NAMED else []
    at = instant_text(webinars[0].at)
    return f"Personal data is removed from {at} on\n\nOf: {', '.join([*named, *more])}."
