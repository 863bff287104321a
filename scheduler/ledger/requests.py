"""What registrants and organizers ask for: choices, withdrawal, an end of mails, a mail again.

Each function works in the caller's transaction: it locks the registration, records the choice and plans the person, so
that unsent mails are settled before the answer. A mail that was claimed before does not go out unless it is `sending`
already. `governing` is the revision of the registration's webinar that governs.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import pytz
from sqlalchemy import Connection, func, or_, select, text

from scheduler.database.engine import as_list, dialect, execute
from scheduler.database.models import Delivery, DueTime, Instant, table
from scheduler.ledger.planning import A_DAY, MOST_ASKED, Governing, plan_person
from scheduler.ledger.statements import execute_named
from scheduler.ledger.states import State
from scheduler.registrants import choices, suppression
from scheduler.registrants.choices import CONFIRMED, NOTHING
from scheduler.registrants.rows import Person, Registrants, RegistrantsUnreadable
from scheduler.registrants.suppression import EVERYTHING, ORGANIZER, Source, suppressions
from scheduler.registrants.zones import zones_of
from scheduler.webinar.model import WITHDRAWAL, Webinar

Asker = Literal["registrant", "organizer"]
_KEY = re.compile(r"[0-9a-f]{40}")
_SELECTOR = 8  # digits of a key by which it is looked up; the others are secret


class Refused(StrEnum):
    """Why a mail cannot be sent again."""

    CANCELLED = "the webinar is cancelled"
    OVER = "it is no longer useful"
    GONE = "the registration is gone"
    WITHDRAWN = "the registrant does not come"
    SUPPRESSED = "the address is suppressed"
    UNSUBSCRIBED = "the registrant wants no more mails of this webinar"
    UNKNOWN_ADDRESS = "the address was refused as unknown"
    UNKNOWN_MESSAGE = "the webinar has no such message in its sequence"
    STILL_TO_GO = "it is still to go"
    LIMITED = "it was asked for too often"


class CannotSendAgain(Exception):
    """A mail is not sent again, for this reason."""

    def __init__(self, reason: Refused) -> None:
        super().__init__(reason.value)
        self.reason = reason


class UnknownRegistration(LookupError):
    """The registration does not exist, or not any more: its person was forgotten."""


@dataclass(frozen=True)
class Standing:
    """A registration, and what its registrant chose. Instants are UTC."""

    registration_id: int
    webinar: str
    address: str
    name: str
    language: str
    zone: str
    zone_known_by: str
    join_url: str
    """The person's own link, or ""."""
    uid: str
    key: str
    timezone: str
    """The time zone as the registration system wrote it."""
    country: str
    gone_at: datetime | None
    """Since when the row is gone: the person is registered no more, unless a reload brings it back."""
    chosen_zone: bool
    chosen_language: bool
    withdrawn_at: datetime | None
    unsubscribed: bool
    """From the mails of this webinar."""
    suppressed: bool
    """From all mails."""
    stopped: bool
    """By an organizer: the registrant cannot end this suppression."""
    unwanted: frozenset[str]
    """The messages of the sequence that they do not want."""

    @property
    def gone(self) -> bool:
        return self.gone_at is not None


def find(conn: Connection, key: str) -> Standing | None:
    """The registration with this key, the newest of a person who came back; None if there is none, or if its person
    was forgotten. The secret part of the key is compared in constant time."""
    if not _KEY.fullmatch(key):
        return None
    query = f"{_STANDING} WHERE substr(key, 1, {_SELECTOR}) = :selector ORDER BY id DESC"
    rows = conn.execute(_typed(query), {"selector": key[:_SELECTOR]})
    found = [row for row in rows if hmac.compare_digest(row.key, key)]
    return _standing(conn, found[0]) if found else None


def standing(conn: Connection, registration_id: int) -> Standing:
    """This registration. Raises UnknownRegistration."""
    row = conn.execute(_typed(f"{_STANDING} WHERE id = :id"), {"id": registration_id}).first()
    if row is None:
        raise UnknownRegistration
    return _standing(conn, row)


_STANDING = (
    "SELECT id, webinar, address, address_folded, name, language, zone, zone_known_by, join_url, uid, key, timezone,"
    " country, gone_at FROM registration"
)


def _typed(query: str) -> Any:
    return text(query).columns(gone_at=Instant())


def _standing(conn: Connection, row: Any) -> Standing:
    person: Person = row.webinar, row.address_folded
    chosen = choices.chosen(conn, [person]).get(person, NOTHING)
    scopes = suppressions(conn, row.address_folded)
    return Standing(
        registration_id=row.id,
        webinar=row.webinar,
        address=row.address,
        name=row.name,
        language=row.language,
        zone=row.zone,
        zone_known_by=row.zone_known_by,
        join_url=row.join_url,
        uid=row.uid,
        key=row.key,
        timezone=row.timezone,
        country=row.country,
        gone_at=row.gone_at,
        chosen_zone=bool(chosen.zone),
        chosen_language=bool(chosen.language),
        withdrawn_at=chosen.withdrawn_at,
        unsubscribed=row.webinar in scopes,
        suppressed=EVERYTHING in scopes,
        stopped=any(scopes[one][0] == ORGANIZER for one in (EVERYTHING, row.webinar) if one in scopes),
        unwanted=choices.unwanted_by(conn, person),
    )


def choose_zone(
    conn: Connection, now: datetime, governing: Governing, registration_id: int, zone: str
) -> None:
    """Let this zone of the tz database be the person's, as the best evidence; "" for what their row says. Raises
    ValueError for any other."""
    if zone and zone not in pytz.all_timezones_set:
        raise ValueError("not a zone of the tz database")
    person, row = _lock_against_intake(conn, registration_id)
    choices.choose_zone(conn, now, person, zone, row.timezone if zone else "")
    known_by = CONFIRMED
    if not zone:
        pair = (row.webinar, row.timezone, row.country)
        found = zones_of(conn, {row.webinar: governing.webinar}, [pair])[pair]
        zone, known_by = found["zone"], found["zone_known_by"]
    _write(conn, registration_id, zone=zone, zone_known_by=known_by)
    plan_person(conn, now, governing, registration_id)


def choose_language(
    conn: Connection, now: datetime, governing: Governing, registration_id: int, language: str
) -> None:
    """Let this be the language of the person's mails, a tag; "" for what their row says."""
    person, row = _lock_against_intake(conn, registration_id)
    before = choices.chosen(conn, [person]).get(person, NOTHING)
    over = before.language_over if before.language else row.language
    choices.choose_language(conn, now, person, language, over if language else "")
    _write(conn, registration_id, language=language or over)
    plan_person(conn, now, governing, registration_id)


def choose_messages(
    conn: Connection, now: datetime, governing: Governing, registration_id: int, unwanted: Collection[str]
) -> None:
    """Send this person none of these messages of the sequence, and all others."""
    person, _ = _lock(conn, registration_id)
    choices.choose_messages(conn, person, set(unwanted) & {one.id for one in governing.webinar.messages})
    plan_person(conn, now, governing, registration_id)


def unsubscribe(
    conn: Connection,
    now: datetime,
    governing: Governing,
    registration_id: int,
    *,
    everything: bool,
    source: Source,
) -> None:
    """Send this person no more mails of this webinar, but that it is cancelled or moved; or nothing at all, for any
    webinar. Idempotent."""
    _, row = _lock(conn, registration_id)
    scope = EVERYTHING if everything else row.webinar
    suppression.suppress(conn, now, row.address, scope, source)
    plan_person(conn, now, governing, registration_id)


def subscribe(conn: Connection, now: datetime, governing: Governing, registration_id: int) -> None:
    """Send this person mails of this webinar again, unless an organizer stopped them. Idempotent."""
    _, row = _lock(conn, registration_id)
    held = suppressions(conn, row.address_folded)
    own = [one for one in (EVERYTHING, row.webinar) if one in held and held[one][0] != ORGANIZER]
    if own:
        suppression.unsuppress(conn, row.address, own)
    plan_person(conn, now, governing, registration_id)


def suppress(
    conn: Connection,
    now: datetime,
    governing: Mapping[str, Governing],
    address: str,
    webinar: str = EVERYTHING,
) -> int:
    """As an organizer asks, send nothing more to this address, for any webinar or for this one. Returns the number of
    its registrations. `governing`: by webinar."""
    return _plan_at_once(conn, now, governing, suppression.suppress(conn, now, address, webinar))


def unsuppress(
    conn: Connection,
    now: datetime,
    governing: Mapping[str, Governing],
    address: str,
    webinar: str = EVERYTHING,
) -> int | None:
    """End a suppression of this address, for all webinars or for this one. Returns the number of its registrations;
    None if there was none."""
    found = suppression.unsuppress(conn, address, [webinar])
    return None if found is None else _plan_at_once(conn, now, governing, found)


def _plan_at_once(
    conn: Connection, now: datetime, governing: Mapping[str, Governing], ids: Sequence[int]
) -> int:
    """Plan these registrations, which wait to be planned. Returns their number."""
    query = f"SELECT id, webinar FROM registration WHERE {dialect(conn).among('id', 'ids')} ORDER BY id"
    for row in execute(conn, query, ids=as_list(conn, ids)).all():
        if row.webinar in governing:
            plan_person(conn, now, governing[row.webinar], row.id)
    return len(ids)


def registered(conn: Connection, folded: str) -> dict[str, int]:
    """The present registration of this address for each webinar."""
    query = (
        "SELECT webinar, id FROM registration WHERE address_folded = :folded AND gone_at IS NULL ORDER BY id"
    )
    return {row.webinar: row.id for row in execute(conn, query, folded=folded)}


def withdraw(conn: Connection, now: datetime, governing: Governing, registration_id: int) -> None:
    """Record that this person does not come. Whoever was told that they are registered is sent a notice that says
    so; after MOST_ASKED such mails a day it waits. Idempotent."""
    person, row = _lock(conn, registration_id)
    choices.withdraw(conn, now, person)
    _write_withdrawn_at(conn, row, now)
    plan_person(conn, now, governing, registration_id)


def come_back(conn: Connection, now: datetime, governing: Governing, registration_id: int) -> None:
    """Restore the registration of a person who withdrew. Whoever was told that they do not come is confirmed again;
    after MOST_ASKED such mails a day this waits. Idempotent."""
    person, row = _lock(conn, registration_id)
    choices.come_back(conn, now, person)
    _write_withdrawn_at(conn, row, None)
    plan_person(conn, now, governing, registration_id)


def mail_waits(conn: Connection, now: datetime, registration_id: int) -> bool:
    """Whether the mail that says that this person withdrew or came back waits, since they caused enough of them."""
    d = table(Delivery).c
    query = select(d.id).where(
        d.registration_id == registration_id,
        d.state == State.PENDING.value,
        or_(d.asked_by == "registrant", d.message == WITHDRAWAL),
        d.due_at > now,
    )
    return conn.execute(query.limit(1)).first() is not None


def send_again(
    conn: Connection,
    now: datetime,
    governing: Governing,
    registration_id: int,
    message: str,
    asked_by: Asker,
) -> None:
    """Send this person a message of the sequence once more, at once, on record as deliberate. Raises CannotSendAgain.

    Who unsubscribed gets what they ask for themselves.
    """
    _lock(conn, registration_id)
    plan_person(conn, now, governing, registration_id)
    if reason := _why_not_again(conn, now, governing, standing(conn, registration_id), message, asked_by):
        raise CannotSendAgain(reason)
    given = {"ids": as_list(conn, [registration_id]), "message": message, "asked_by": asked_by, "now": now}
    if not execute_named(conn, "ask_again", **given).rowcount:
        raise CannotSendAgain(Refused.STILL_TO_GO)


def _why_not_again(
    conn: Connection, now: datetime, governing: Governing, here: Standing, message: str, asked_by: Asker
) -> Refused | None:
    """Why this message is not sent again to this person, if it is not."""
    webinar = governing.webinar
    refused = execute_named(conn, "refused_as_unknown", ids=as_list(conn, [here.registration_id])).first()
    limited = asked_by == "registrant" and _asked_since(conn, here.registration_id, now - A_DAY) >= MOST_ASKED
    reasons = {
        Refused.UNKNOWN_MESSAGE: message not in {one.id for one in webinar.messages},
        Refused.GONE: here.gone,
        Refused.CANCELLED: webinar.cancelled,
        Refused.WITHDRAWN: here.withdrawn_at is not None,
        Refused.SUPPRESSED: here.suppressed,
        Refused.UNSUBSCRIBED: here.unsubscribed and asked_by == "organizer",
        Refused.OVER: _useful_until(conn, here, webinar, message) <= now,
        Refused.UNKNOWN_ADDRESS: refused is not None,
        Refused.LIMITED: limited,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _useful_until(conn: Connection, here: Standing, webinar: Webinar, message: str) -> datetime:
    """Until when (UTC) a mail that was asked for is useful: its message's time, or the end of the webinar if that is
    later."""
    d = table(DueTime).c
    here_due = (d.webinar == here.webinar, d.zone == here.zone, d.message == message)
    expires_at: datetime | None = conn.execute(select(d.expires_at).where(*here_due)).scalar()
    return max(expires_at or webinar.end, webinar.end)


def _asked_since(conn: Connection, registration_id: int, since: datetime) -> int:
    """The number of mails that the registrant caused since then, as `conditions.sql` counts them."""
    d = table(Delivery).c
    return int(
        conn.execute(
            select(func.count()).where(
                d.registration_id == registration_id,
                d.planned_at > since,
                or_(d.asked_by == "registrant", d.message == WITHDRAWAL),
                d.state != State.CANCELLED.value,
            )
        ).scalar_one()
    )


def _lock(conn: Connection, registration_id: int) -> tuple[Person, Any]:
    """Lock a registration against planning and sending; until it is planned, none of its mails goes out. Raises
    UnknownRegistration."""
    row = execute(
        conn,
        "UPDATE registration SET plan = 0 WHERE id = :id"
        " RETURNING webinar, address, address_folded, registrant_id, language, timezone, country",
        id=registration_id,
    ).first()
    if row is None:
        raise UnknownRegistration
    return (row.webinar, row.address_folded), row


def _lock_against_intake(conn: Connection, registration_id: int) -> tuple[Person, Any]:
    """As `_lock`, and against absorbing rows, which writes what a registration was read with."""
    dialect(conn).wait_to_plan(conn, "intake")
    return _lock(conn, registration_id)


def _write_withdrawn_at(conn: Connection, row: Any, at: datetime | None) -> None:
    """Write since when a person does not come to their row of `registrants`, also if they registered with us as
    well."""
    rows = {row.registrant_id or 0}
    if min(rows) < 0:
        savepoint = conn.begin_nested()
        try:
            rows |= set(Registrants(conn).find([(row.webinar, row.address)]).values())
            savepoint.commit()
        except RegistrantsUnreadable:
            savepoint.rollback()
    choices.write_withdrawn_at(conn, dict.fromkeys(rows, at))


def _write(conn: Connection, registration_id: int, **values: str) -> None:
    written = ", ".join(f"{name} = :{name}" for name in values)
    execute(conn, f"UPDATE registration SET {written} WHERE id = :id", id=registration_id, **values)
