"""`webinar rehearse`: a webinar's whole life on a virtual clock, through real SMTP into an inbox.

The service is that of `webinar run`. Its clock is moved to the next instant at which a mail is due, registrants are
added at the time of their registration, and mails that the relay takes are written to files.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesHeaderParser
from email.policy import default
from pathlib import Path
from typing import Any

import pytz
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import Connection, event, select
from sqlmodel import SQLModel

from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.problem import Problem, Problems
from scheduler.registrants.files.importing import ImportReport, import_rows
from scheduler.registrants.files.reading import FileRow
from scheduler.reports.timeline import default_zones, timeline
from scheduler.reports.timeline_svg import timeline_svg
from scheduler.service.service import Service
from scheduler.settings import Settings
from scheduler.web.inbox.pages import write_inbox
from scheduler.webinar.model import Webinar

LEAD = timedelta(days=21)  # before the start the first registrants come, where no one says when
CONNECTIONS = 4
DATABASE = "rehearsal.db"
STEPS_AT_ONE_INSTANT = 1000  # more tries than a mail can have: then something does not move


@dataclass(frozen=True)
class Rehearsed:
    """The result of a rehearsal."""

    deliveries: list[dict[str, Any]]
    out: Path
    index: Path
    imported: ImportReport
    database: Path
    """Its database, if it was kept for its registrants' pages."""
    ended_at: datetime
    """The last virtual instant."""
    reasons: tuple[str, ...]  # what readiness says at the end
    notes: tuple[str, ...]


class Stuck(RuntimeError):
    """Mails are due again and again at one virtual instant: a fault of this program."""


@dataclass
class _Inbox:
    """An SMTP server's handler that writes each mail to a file, exactly as received."""

    folder: Path
    message_ids: dict[Path, str] = field(default_factory=dict)

    @property
    def received(self) -> list[Path]:
        """The files, in the order of arrival."""
        return list(self.message_ids)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        path = self.folder / f"{len(self.message_ids) + 1:04d}.eml"
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        path.write_bytes(content)
        head = content[: content.find(b"\r\n\r\n") + 2]
        self.message_ids[path] = str(BytesHeaderParser(policy=default).parsebytes(head)["Message-ID"]).strip()
        return "250 2.0.0 kept"


async def rehearse(
    webinar: Webinar,
    source: str,
    rows: Sequence[FileRow],
    *,
    place: str,
    templates: Path,
    out: Path,
    pages_url: str = "",
    progress: Callable[[datetime, datetime, datetime], None] = lambda start, now, end: None,
) -> Rehearsed:
    """Rehearse `webinar` (whose file says `source`) with these registrants; write everything below `out`.

    `pages_url`: where the registrants' pages will be, to which mails then link; the pages need the database, which is
    kept in `out` as DATABASE. `progress` is told the first, the present and the last virtual instant, again and again.
    """
    mails = _fresh(out)
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as temporary:
        folder = Path(temporary)
        (folder / "webinars").mkdir()
        (folder / "webinars" / f"{webinar.id}.toml").write_text(source, encoding="utf-8")
        async with _inbox(mails) as (inbox, port):
            settings = Settings.model_validate(
                {
                    "database_url": f"sqlite:///{folder / DATABASE}",
                    "config_dir": folder,
                    "templates_dir": templates,
                    "smtp_host": "127.0.0.1",
                    "smtp_port": port,
                    "smtp_tls": "none",
                    "smtp_connections": CONNECTIONS,
                }
            ).model_copy(update={"pages_url": pages_url})  # which need not be https here
            database = Database(settings.database_url.get_secret_value())
            # Nobody goes on with it after a loss of power: no commit waits for the disk.
            event.listen(
                database.engine, "connect", lambda opened, _: opened.execute("PRAGMA synchronous=OFF")
            )
            try:
                clock = VirtualClock(first_instant(webinar, rows))
                service = Service(settings, database, clock, drafts_too=True)
                imported = await _live_through(service, database, clock, webinar, rows, place, progress)
                emls = {name: path.relative_to(out).as_posix() for path, name in inbox.message_ids.items()}
                deliveries = await database.run(_deliveries, webinar, emls)
                end = service.readiness()
            finally:
                await asyncio.to_thread(database.close)
            if pages_url:
                await asyncio.to_thread(shutil.copy, folder / DATABASE, out / DATABASE)
    (out / "deliveries.json").write_text(
        json.dumps(deliveries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    picture = _picture(webinar, {one["zone"] for one in deliveries})
    (out / "timeline.svg").write_text(picture, encoding="utf-8")
    index = await asyncio.to_thread(
        write_inbox, out, webinar.title, deliveries, inbox.received, "timeline.svg"
    )
    return Rehearsed(deliveries, out, index, imported, out / DATABASE, clock.now(), end.reasons, end.notes)


def _picture(webinar: Webinar, names: Collection[str]) -> str:
    """The timeline in the zones of these registrants."""
    zones = [pytz.timezone(name) for name in sorted(names) if name] or default_zones(webinar)
    return timeline_svg(webinar, timeline(webinar, zones))


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
        while await (service.tick(now) if by_itself else service.take_in()):
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


def _fresh(out: Path) -> Path:
    """The folder for this rehearsal's mails, those of an earlier one removed. Raises Problems.

    A folder that holds anything else is left alone: somebody's own `mails` may be in it.
    """
    allowed = "a new folder, an empty one, or that of an earlier rehearsal"
    mark = out / "deliveries.json"
    try:
        if out.exists() and not mark.exists() and any(out.iterdir()):
            raise Problems([Problem(str(out), "holds other files", allowed)])
        mails = out / "mails"
        shutil.rmtree(mails, ignore_errors=True)
        for old in out.glob(f"{DATABASE}*"):
            old.unlink()
        mails.mkdir(parents=True)
        mark.write_text("[]\n", encoding="utf-8")
    except OSError as error:
        raise Problems([Problem(str(out), f"can't be written: {error.strerror}", allowed)]) from None
    return mails


@asynccontextmanager
async def _inbox(folder: Path) -> AsyncIterator[tuple[_Inbox, int]]:
    inbox = _Inbox(folder)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(inbox, enable_SMTPUTF8=True, hostname="inbox.localhost"), "127.0.0.1", 0
    )
    try:
        yield inbox, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


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
