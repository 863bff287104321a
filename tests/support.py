"""Builders that many tests share: a webinar, rows of registrants, the ledger as plain values."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from scheduler.database.engine import Database, execute
from scheduler.database.models import Delivery, Registration, table
from scheduler.governing import revisions
from scheduler.governing.revisions import bring_up_to_date, schedule, take_effect
from scheduler.ledger import settling
from scheduler.ledger.entries import AttemptKey, Claimed, Start, ToldEntry, Version
from scheduler.ledger.planning import Governing, absorb, plan_people, webinars_to_plan
from scheduler.ledger.told import accept_told as note_accepted
from scheduler.ledger.told import record_told
from scheduler.readiness import Reason
from scheduler.webinar.model import NOTICES, Webinar, read_webinar
from scheduler.webinar.told import facts_of

SEQUENCE = """
[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "reminder-day"
days_before = 1
at = "09:00"

[[messages]]
id = "reminder-hour"
before_start = "1h"

[[messages]]
id = "follow-up"
days_after = 1
at = "10:00"
"""


WRITTEN_BY_MIGRATIONS = frozenset({"alembic_version", "secret", "ledger"})
"""Tables that are not empty in a new database."""
TEMPLATES = Path(__file__).parents[1] / "templates"


def words(found: Iterable[Reason]) -> tuple[str, ...]:
    """Reasons of readiness in words."""
    return tuple(one.words for one in found)


def copy_texts(to: Path, *languages: str) -> None:
    """The shipped layout, and the texts in these languages: each costs a process that tries them its time."""
    for text in TEMPLATES.glob("*/*"):
        if text.stem in ("layout", *languages):
            (to / text.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(text, to / text.parent.name)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nobody here can be woken by: what another task or process does. Raises TimeoutError."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def utc(text: str) -> datetime:
    """ "2025-07-02 07:00" as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def toml(sequence: str = SEQUENCE, **changed: Any) -> str:
    """A sound webinar's file: the trilateral webinar's time, everything else invented. None leaves a key out."""
    keys: dict[str, Any] = {
        "id": "w",
        "title": "Buying health products",
        "about": "How public buyers can help innovation.",
        "organizers": ["WHO", "WIPO", "WTO"],
        "host": "WHO",
        "held_in": "en",
        "start": datetime(2025, 7, 3, 13),
        "end": datetime(2025, 7, 3, 15),
        "zone": "CET/Geneva time",
        "languages": ["en", "fr"],
        "join_url": "https://meet.who.int/w",
        "how_to_join": "Open the link a few minutes before it starts.",
        "sender": "Webinar <webinar@who.int>",
        "alert_to": "organizer@who.int",
        "status": "live",
    } | changed
    lines = [f"{key} = {_value(value)}" for key, value in keys.items() if value is not None]
    return "\n".join(lines) + "\n" + sequence


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def webinar(sequence: str = SEQUENCE, **changed: Any) -> Webinar:
    return read_webinar(toml(sequence, **changed), "w.toml")


class Ledger:
    """Plans on a database and reads back what it planned. Edits take effect at once."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.revisions = Revisions()

    def govern(self, *webinars: Webinar, waits: bool = False, now: datetime | None = None) -> None:
        """Let this be what governs; `waits`: as an edit of a file does, made `now`."""
        for one in webinars:
            with self.database.transaction() as conn:
                revision_id = self.revisions.add(conn, one)
                if waits:
                    schedule(
                        conn,
                        now or utc("2025-06-12 08:00"),
                        one,
                        revision_id,
                        self.revisions,
                        timedelta(hours=24),
                    )
                else:
                    take_effect(conn, one, revision_id)

    @property
    def governing(self) -> dict[str, Governing]:
        with self.database.transaction() as conn:
            return self.revisions.governing(conn)

    def register(self, email: str, webinar: str = "w", **columns: Any) -> int:
        values = {"webinar": webinar, "email": email} | columns
        names = ", ".join(values)
        binds = ", ".join(f":{name}" for name in values)
        return int(
            self.sql(f"INSERT INTO registrants ({names}) VALUES ({binds}) RETURNING id", **values)[0][0]
        )

    def sql(self, statement: str, **values: Any) -> list[Any]:
        with self.database.transaction() as conn:
            result = execute(conn, statement, **values)
            return list(result.all()) if result.returns_rows else []

    def plan(self, now: datetime, hours: float = 24) -> None:
        more = True
        while more:
            with self.database.transaction() as conn:
                bring_up_to_date(conn, now, self.revisions)
                more = plan(conn, now, self.revisions.governing(conn), timedelta(hours=hours))

    def deliveries(self, email: str | None = None) -> list[Mapping[str, Any]]:
        d, r = table(Delivery), table(Registration)
        query = (
            select(d, r.c.address, r.c.zone)
            .join_from(d, r, d.c.registration_id == r.c.id)
            .order_by(r.c.id, d.c.due_at, d.c.id)
        )
        if email:
            query = query.where(r.c.address == email)
        with self.database.engine.connect() as conn:
            return [dict(row) for row in conn.execute(query).mappings()]

    def states(self, email: str | None = None) -> dict[str, str]:
        """Message (with edition from 1 on) to state, with the reason behind it."""
        return {
            _named(row): row["state"] + (f": {row['reason']}" if row["reason"] else "")
            for row in self.deliveries(email)
        }

    def due(self, email: str | None = None) -> dict[str, datetime]:
        return {_named(row): row["due_at"] for row in self.deliveries(email)}

    def set(self, message: str, state: str, edition: int = 0) -> None:
        """As if it had been sent, or had failed: whoever it went to was told what governs now."""
        if state in ("sending", "sent", "in_doubt"):
            self.tell(message, edition, accepted=state == "sent")
        self.sql(
            "UPDATE delivery SET state = :state WHERE message = :message AND edition = :edition",
            state=state,
            message=message,
            edition=edition,
        )

    def tell(self, message: str, edition: int = 0, *, accepted: bool = True) -> None:
        """What a mail of this message told people."""
        people = self.sql(
            "SELECT d.id, r.uid, r.join_url, r.webinar FROM delivery d JOIN registration r"
            " ON r.id = d.registration_id WHERE d.message = :message AND d.edition = :edition",
            message=message,
            edition=edition,
        )
        with self.database.transaction() as conn:
            webinars = {name: one.webinar for name, one in self.revisions.governing(conn).items()}
            for row in people:
                webinar = webinars[row.webinar]
                mail = AttemptKey(row.uid, row.id, "token")
                invited = message in NOTICES or any(
                    one.id == message and one.invitation != "none" for one in webinar.messages
                )
                record_told(
                    conn, [ToldEntry(mail, facts_of(webinar, row.join_url or webinar.join_url), invited)]
                )
                if accepted:
                    note_accepted(conn, [mail])


def plan(
    conn: Connection, now: datetime, governing: Mapping[str, Governing], return_within: timedelta
) -> bool:
    """All of it in this one transaction, as far as one chunk of each webinar goes. True when there may be more."""
    more = absorb(conn, now, governing, return_within).more
    for name in webinars_to_plan(conn):
        if name in governing:
            more |= plan_people(conn, now, governing[name]) > 0
    return more


def settle_and_plan(
    conn: Connection, now: datetime, governing: Mapping[str, Governing], within: timedelta
) -> bool:
    """A tick's settling and planning, in one transaction. True when there may be more."""
    settling.resolve_doubts(conn, now, {name: one.webinar for name, one in governing.items()})
    settling.expire(conn, now)
    return plan(conn, now, governing, within)


def start(
    claimed: Claimed, at: datetime, one: Webinar | None = None, invitation: Version | None = None
) -> Start:
    """A mail about to go, as it is rendered by this webinar."""
    told = facts_of(one or webinar(), claimed.join_url or "https://meet.who.int/w")
    return Start(claimed, f"<{claimed.id}@who.int>", "relay", "en", 1, at, told, invitation)


class Revisions(revisions.Revisions):
    """Revisions that need no source, beside stored ones."""

    def forget_fingerprints(self) -> None:
        """As another program does."""
        self._fingerprints.clear()
        self.forget()

    def add(self, conn: Connection, webinar: Webinar) -> int:
        sha = sha256(repr(webinar).encode()).hexdigest()
        found = execute(conn, "SELECT id FROM webinar_revision WHERE webinar = :webinar AND sha256 = :sha",
                    webinar=webinar.id, sha=sha).scalar()  # fmt: skip
        if found is None:
            found = execute(
                conn,
                "INSERT INTO webinar_revision (webinar, file, sha256, source, sound_since)"
                " VALUES (:webinar, 'w.toml', :sha, '', :now) RETURNING id",
                webinar=webinar.id, sha=sha, now=utc("2025-06-01 00:00"),
            ).scalar_one()  # fmt: skip
        self._read[found] = webinar
        return int(found)


def _named(row: Mapping[str, Any]) -> str:
    return str(row["message"]) + (f"#{row['edition']}" if row["edition"] else "")
