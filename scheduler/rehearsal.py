"""`webinar rehearse`: a webinar's whole life on a virtual clock, through real SMTP into an inbox.

The service is that of `webinar run`. Its clock is moved to the next instant at which a mail is due, registrants are
added at the time of their registration, and mails that the relay takes are written to files.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytz
from sqlalchemy import Connection, event, select
from sqlmodel import SQLModel

from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.problem import Problem, Problems
from scheduler.receiver import Receiver, receiving
from scheduler.registrants.files.importing import ImportReport, import_rows
from scheduler.registrants.files.reading import FileRow
from scheduler.reports.timeline import Entry, clocks, default_zones, message_name, timeline
from scheduler.reports.timeline_svg import timeline_svg
from scheduler.service.service import Service
from scheduler.settings import Settings
from scheduler.web.inbox.pages import Timeline, write_inbox
from scheduler.webinar.model import Webinar

LEAD = timedelta(days=21)  # before the start the first registrants come, where no one says when
CONNECTIONS = 4
LOOK_SECONDS = 0.5
"""Between two looks for what people asked for after a rehearsal."""
STEPS_AT_ONE_INSTANT = 1000  # more tries than a mail can have: then something does not move


@dataclass(frozen=True)
class Play:
    """What is rehearsed: a webinar, whose file says `source`, with these texts. Everything is written below `out`.

    `pages_url`: where the pages of its registrants are served, to which mails then link; "" if they are not.
    """

    webinar: Webinar
    source: str
    templates: Path
    out: Path
    pages_url: str = ""

    @property
    def database(self) -> Path:
        return self.out / "rehearsal.db"

    @property
    def mails(self) -> Path:
        return self.out / "mails"


@dataclass(frozen=True)
class Rehearsed:
    """The result of a rehearsal."""

    deliveries: list[dict[str, Any]]
    out: Path
    index: Path
    imported: ImportReport
    reasons: tuple[str, ...]  # what readiness says at the end
    notes: tuple[str, ...]
    ended_at: datetime
    """The last virtual instant."""
    received: Sequence[Path]
    """The mails, in the order of arrival."""


class Stuck(RuntimeError):
    """Mails are due again and again at one virtual instant: a fault of this program."""


async def rehearse(
    play: Play,
    rows: Sequence[FileRow],
    *,
    place: str,
    until: datetime | None = None,
    progress: Callable[[datetime, datetime, datetime], None] = lambda start, now, end: None,
) -> Rehearsed:
    """Rehearse with these registrants, to the end or `until` an instant (UTC). Raises Problems.

    `progress` is told the first, the present and the last virtual instant, again and again.
    """
    _clear(play)
    inbox, clock = Receiver(play.mails), VirtualClock(first_instant(play.webinar, rows))
    async with _service(play, clock, inbox) as (service, database):
        life = _live_through(service, database, clock, play.webinar, rows, place, until, progress)
        imported, end = await life, service.readiness()
        deliveries, index = await _show(play, database, inbox)
    return Rehearsed(
        deliveries, play.out, index, imported, end.reasons, end.notes, clock.now(), inbox.received
    )


async def go_on(play: Play, rehearsed: Rehearsed) -> None:
    """Go on after the rehearsal, whose clock stands, until cancelled: what people ask for on their pages happens, and
    the mails that they get come into the inbox."""
    inbox, clock = Receiver.of(play.mails, rehearsed.received), VirtualClock(rehearsed.ended_at)
    async with _service(play, clock, inbox) as (service, database):
        await service.start()
        try:
            while True:
                before = len(inbox.received)
                while await service.tick(clock.now()):
                    pass
                await service.settled()
                if len(inbox.received) > before:
                    await _show(play, database, inbox)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await service.stop()


@asynccontextmanager
async def _service(
    play: Play, clock: VirtualClock, inbox: Receiver
) -> AsyncIterator[tuple[Service, Database]]:
    """The service that sends to this inbox, and its database."""
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as temporary:
        folder = Path(temporary)
        (folder / "webinars").mkdir()
        (folder / "webinars" / f"{play.webinar.id}.toml").write_text(play.source, encoding="utf-8")
        async with receiving(inbox) as port:
            settings = Settings.model_validate(
                {
                    "database_url": f"sqlite:///{play.database}",
                    "config_dir": folder,
                    "templates_dir": play.templates,
                    "smtp_host": "127.0.0.1",
                    "smtp_port": port,
                    "smtp_tls": "none",
                    "smtp_connections": CONNECTIONS,
                }
            ).model_copy(update={"pages_url": play.pages_url})  # which need not be https here
            database = Database(settings.database_url.get_secret_value())
            # Nobody goes on with it after a loss of power: no commit waits for the disk.
            event.listen(
                database.engine, "connect", lambda opened, _: opened.execute("PRAGMA synchronous=OFF")
            )
            try:
                yield Service(settings, database, clock, drafts_too=True), database
            finally:
                await asyncio.to_thread(database.close)


async def _show(play: Play, database: Database, inbox: Receiver) -> tuple[list[dict[str, Any]], Path]:
    """Write deliveries.json, the timeline and the pages of the inbox. Returns the deliveries and the inbox's index."""
    out, webinar = play.out, play.webinar
    emls = {name: path.relative_to(out).as_posix() for path, name in inbox.message_ids.items()}
    deliveries = await database.run(_deliveries, webinar, emls)
    (out / "deliveries.json").write_text(
        json.dumps(deliveries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    entries, people = _timeline(webinar, deliveries)
    (out / "timeline.svg").write_text(timeline_svg(webinar, entries, people), encoding="utf-8")
    names = {message.id: message_name(message) for message in webinar.messages}
    shown = Timeline("timeline.svg", clocks(webinar, entries, people), names)
    index = await asyncio.to_thread(
        write_inbox, out, webinar.title, deliveries, inbox.received, shown, webinar
    )
    return deliveries, index


def _timeline(webinar: Webinar, deliveries: Iterable[Mapping[str, Any]]) -> tuple[list[Entry], Counter[str]]:
    """The timeline in the zones of these registrants, and their number by zone."""
    zone_of = {one["email"]: one["zone"] for one in deliveries if one["zone"]}
    zones = [pytz.timezone(name) for name in sorted(set(zone_of.values()))] or default_zones(webinar)
    return timeline(webinar, zones), Counter(zone_of.values())


def first_instant(webinar: Webinar, rows: Sequence[FileRow]) -> datetime:
    """When the rehearsal begins: with the first registration, or three weeks before the start."""
    said = [row.registered_at for row in rows if row.registered_at]
    return min(said, default=webinar.start - LEAD)


async def _live_through(
    service: Service,
    database: Database,
    clock: VirtualClock,
    webinar: Webinar,
    rows: Sequence[FileRow],
    place: str,
    until: datetime | None,
    progress: Callable[[datetime, datetime, datetime], None],
) -> ImportReport:
    start, end = clock.now(), webinar.end + timedelta(days=1)
    arrivals = sorted(rows, key=lambda row: row.registered_at or start)
    report, steps = ImportReport(), 0
    wake: datetime | None = start
    await service.start()
    while True:
        now = clock.now()
        due = [row for row in arrivals if (row.registered_at or start) <= now]
        arrivals = arrivals[len(due) :]
        if due:
            _add(report, await database.run(_arrive, due, place, webinar.id))
        by_itself = wake is not None and wake <= now
        while await (service.tick(now) if by_itself else service.plan_rows()):
            pass
        await service.settled()
        progress(start, now, max(end, now))
        wake = await service.next_wake()
        instants = [instant for instant in (wake, arrivals[0].registered_at if arrivals else None) if instant]
        if not instants:
            break
        steps = 0 if min(instants) > now else steps + 1
        if steps > STEPS_AT_ONE_INSTANT:
            raise Stuck(f"nothing moves at {now:%Y-%m-%d %H:%M:%S} UTC")
        if until and min(instants) > until:
            clock.move_to(max(now, until))
            break
        clock.move_to(max(now, min(instants)))
    await service.stop()
    return report


def _arrive(conn: Connection, rows: list[FileRow], place: str, webinar: str) -> ImportReport:
    return import_rows(conn, rows, place, webinars=[webinar], default_webinar=webinar)


def _add(report: ImportReport, other: ImportReport) -> None:
    report.new += other.new
    report.updated += other.updated
    report.unchanged += other.unchanged
    report.rejected += other.rejected
    report.notes += other.notes


def _clear(play: Play) -> None:
    """Make the folders of this rehearsal, without the mails and the database of an earlier one. Raises Problems.

    A folder that holds anything else is left alone: somebody's own `mails` may be in it.
    """
    out, allowed = play.out, "a new folder, an empty one, or that of an earlier rehearsal"
    mark = out / "deliveries.json"
    try:
        if out.exists() and not mark.exists() and any(out.iterdir()):
            raise Problems([Problem(str(out), "holds other files", allowed)])
        shutil.rmtree(play.mails, ignore_errors=True)
        for file in out.glob(f"{play.database.name}*"):
            file.unlink()
        play.mails.mkdir(parents=True)
        mark.write_text("[]\n", encoding="utf-8")
    except OSError as error:
        raise Problems([Problem(str(out), f"can't be written: {error.strerror}", allowed)]) from None


def _deliveries(conn: Connection, webinar: Webinar, emls: Mapping[str, str]) -> list[dict[str, Any]]:
    """The whole ledger, as deliveries.json has it, in the order in which things were due."""
    d, r, a = (SQLModel.metadata.tables[name] for name in ("delivery", "registration", "attempt"))
    rows = conn.execute(
        select(d, r.c.address, r.c.name, r.c.language, r.c.zone, r.c.zone_known_by)
        .join_from(d, r, d.c.registration_id == r.c.id)
        .order_by(d.c.due_at, r.c.address, d.c.id)
    ).mappings()
    written_in = {row.delivery_id: row.language for row in conn.execute(select(a).order_by(a.c.id))}
    return [
        {
            "webinar": row["webinar"],
            "email": row["address"],
            "name": row["name"],
            "message": row["message"],
            "edition": row["edition"],
            "language": row["language"],
            "text_language": written_in.get(row["id"]),
            "zone": row["zone"],
            "zone_known_by": row["zone_known_by"],
            "due_at": _utc(row["due_at"]),
            "due_local": _local(row["due_at"], row["zone"]),
            "start_local": _local(webinar.start, row["zone"]),
            "sent_at": _utc(row["sent_at"]) if row["sent_at"] else None,
            "state": row["state"],
            "reason": row["reason"],
            "message_id": row["message_id"] or None,
            "eml": emls.get(row["message_id"]),
        }
        for row in rows
    ]


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _local(instant: datetime, zone: str) -> str:
    return instant.astimezone(pytz.timezone(zone)).isoformat(timespec="seconds")
