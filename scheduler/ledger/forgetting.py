"""Forgets a person: removes all that our tables hold of an address. `registrants.forgotten` keeps it away."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scheduler.database.engine import as_list, dialect, execute
from scheduler.input.addresses import fold
from scheduler.ledger.history import registrations_mailed_at, registrations_of
from scheduler.ledger.retention import delete_former, delete_people
from scheduler.ledger.states import State, Why
from scheduler.registrants.again import note_changes
from scheduler.registrants.forgotten import forgotten, remember
from scheduler.registrants.rows import Registrants, RegistrantsUnreadable


@dataclass
class Erased:
    """What was removed, in figures."""

    registrations: int = 0
    mails: int = 0
    cancelled: int = 0  # of the mails: they were still to go
    on_the_wire: int = 0  # of the mails: they go out, and what becomes of them is recorded without the person
    attempts: int = 0
    invitations: int = 0
    others: int = 0  # registrations with another address now, of which what went to this one was removed
    marks: int = (
        0  # that another system confirmed it, that it is suppressed, that somebody asked for a mail to it
    )
    suppressed: bool = False
    remembered: bool = False  # so that no row of theirs brings them back

    @property
    def anything(self) -> bool:
        return any((self.registrations, self.attempts, self.invitations, self.others, self.marks))


@dataclass(frozen=True)
class Traces:
    """Where an address stands."""

    rows: Mapping[int, str]  # of `registrants` by id, with their webinar
    others: Collection[int]  # registrations with another address now, to which mails went at this one
    confirmed: Collection[str]  # webinars for which another system confirmed it
    asked_for: Collection[str]  # as it was written where somebody asked for a mail to it (`outbox`)


def find(conn: Connection, address: str) -> Traces:
    """What of an address no index finds. Goes through whole tables, so not while anybody waits."""
    folded = fold(address)
    others: Collection[int] = set(registrations_mailed_at(conn, folded)) - set(registrations_of(conn, folded))
    confirmed = execute(
        conn, "SELECT webinar FROM confirmed_elsewhere WHERE address_folded = :folded", folded=folded
    )
    try:
        rows = Registrants(conn).of_address(address)
    except RegistrantsUnreadable:  # `webinar status` says so
        rows = {}
    recipients = execute(conn, "SELECT DISTINCT recipient FROM outbox").scalars()
    asked_for = [one for one in recipients if fold(one) == folded]
    others = sorted(one for one in others if one > 0)  # those below are forgotten already
    return Traces(rows, others, confirmed.scalars().all(), asked_for)


def forget(conn: Connection, now: datetime, address: str, found: Traces) -> Erased:
    """Remove all that our tables hold of this address, and see to it that its rows bring nothing back. `found`: what
    `find` found a moment ago. Idempotent."""
    folded, erased = fold(address), Erased()
    dialect(conn).wait_to_plan(conn, "intake")
    ids, webinars = _lock_registrations(conn, folded)
    if ids:
        places = _places(conn, ids)
        _detach_mails(conn, now, ids, erased)
        erased.registrations, erased.invitations = len(ids), delete_people(conn, ids)
        _erase_zone_evidence(conn, places)
    for one in found.others:
        _erase_what_went_there(conn, one, folded, erased)
    _erase_marks(conn, folded, found, erased)
    known = forgotten(conn, address)
    if erased.anything or (found.rows and not known):
        erased.suppressed |= known is not None and known[1]
        erased.remembered = True
        stood = {*webinars, *found.rows.values(), *found.confirmed}
        remember(conn, now, folded, stood, suppressed=erased.suppressed)
        note_changes(conn, sorted(found.rows))
    return erased


def _lock_registrations(conn: Connection, folded: str) -> tuple[list[int], set[str]]:
    """Those of this address, with their webinars: until the end of the transaction nobody plans or begins a mail."""
    locked = execute(
        conn,
        "UPDATE registration SET plan = 0 WHERE address_folded = :folded RETURNING id, webinar",
        folded=folded,
    ).all()
    return sorted(row.id for row in locked), {row.webinar for row in locked}


def _detach_mails(conn: Connection, now: datetime, ids: Sequence[int], erased: Erased) -> None:
    """They stay, to be counted, as mails of nobody: what was still to go is cancelled, and what is on the wire or in
    doubt is of no use any more, so that nobody tries it again."""
    engine = dialect(conn)
    detached = execute(
        conn,
        "UPDATE delivery SET registration_id = -id, message_id = '', for_link = '',"
        " expires_at = CASE WHEN expires_at > :now THEN :now ELSE expires_at END,"
        " lease_token = CASE WHEN state = 'sending' THEN lease_token END,"
        " reason = CASE WHEN state IN ('pending', 'held') THEN :forgotten ELSE reason END,"
        " state = CASE WHEN state IN ('pending', 'held') THEN 'cancelled' ELSE state END"
        f" WHERE {engine.among('registration_id', 'ids')} RETURNING id, state, reason",
        ids=as_list(conn, ids),
        now=now,
        forgotten=Why.FORGOTTEN.value,
    ).all()
    erased.mails = len(detached)
    erased.cancelled = sum(row.reason == Why.FORGOTTEN for row in detached)
    erased.on_the_wire = sum(row.state == State.SENDING for row in detached)
    erased.attempts += _strip_attempts(
        conn, engine.among("delivery_id", "ids"), ids=as_list(conn, [row.id for row in detached])
    )


def _strip_attempts(conn: Connection, which: str, **values: object) -> int:
    """A reply often repeats the address. One without an address is about somebody who was forgotten
    (`conclude_attempts.sql`)."""
    stripped = f"UPDATE attempt SET address = '', reply = '', language = '' WHERE address <> '' AND {which}"
    return execute(conn, stripped, **values).rowcount


def _places(conn: Connection, ids: Sequence[int]) -> list[Row[Any]]:
    query = f"SELECT DISTINCT webinar, timezone, country FROM registration WHERE {dialect(conn).among('id', 'ids')}"
    return list(execute(conn, query, ids=as_list(conn, ids)))


def _erase_zone_evidence(conn: Connection, places: Iterable[Row[Any]]) -> None:
    """What nobody else wrote as their time zone and country."""
    for place in places:
        execute(
            conn,
            "DELETE FROM zone_evidence WHERE webinar = :webinar AND timezone = :timezone AND country = :country"
            " AND NOT EXISTS (SELECT 1 FROM registration r WHERE r.webinar = zone_evidence.webinar"
            " AND r.zone = zone_evidence.zone AND r.timezone = :timezone AND r.country = :country)",
            **place._mapping,
        )


def _erase_what_went_there(conn: Connection, registration_id: int, folded: str, erased: Erased) -> None:
    """Of a registration with another address now: what went to this one, and the calendar entries of former ones."""
    of_theirs = "FROM attempt a JOIN delivery d ON d.id = a.delivery_id WHERE d.registration_id = :id"
    there = execute(conn, f"SELECT a.id, a.address {of_theirs}", id=registration_id).all()
    ids = [row.id for row in there if fold(row.address) == folded]
    erased.attempts += _strip_attempts(conn, dialect(conn).among("id", "ids"), ids=as_list(conn, ids))
    erased.invitations += delete_former(conn, registration_id)
    erased.others += 1


def _erase_marks(conn: Connection, folded: str, found: Traces, erased: Erased) -> None:
    for recipient in found.asked_for:
        asked = "DELETE FROM outbox WHERE recipient = :recipient"
        erased.marks += execute(conn, asked, recipient=recipient).rowcount
    for webinar in found.confirmed:
        mark = "DELETE FROM confirmed_elsewhere WHERE webinar = :webinar AND address_folded = :folded"
        erased.marks += execute(conn, mark, webinar=webinar, folded=folded).rowcount
    suppression = "DELETE FROM suppression WHERE address_folded = :folded"
    erased.suppressed = execute(conn, suppression, folded=folded).rowcount > 0
    erased.marks += erased.suppressed
