"""Forgetting a person: removes everything our tables hold about an address. `registrants.forgotten` keeps it out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scheduler import mailed_links
from scheduler.database.engine import as_list, dialect, execute
from scheduler.input.addresses import fold
from scheduler.ledger.history import registrations_mailed_at, registrations_of
from scheduler.ledger.retention import delete_former, delete_people
from scheduler.ledger.states import State, Why
from scheduler.registrants import signups
from scheduler.registrants.again import note_changes
from scheduler.registrants.choices import delete_choices
from scheduler.registrants.forgotten import forgotten, remember
from scheduler.registrants.rows import Registrants, RegistrantsUnreadable
from scheduler.registrants.sources import drop_source_rows
from scheduler.registrants.suppression import EVERYTHING


@dataclass
class Erased:
    """Counts of what was removed."""

    registrations: int = 0
    mails: int = 0
    cancelled: int = 0  # mails that had not gone out yet
    on_the_wire: int = 0  # mails being sent: they go out, and their outcome is recorded without the person
    attempts: int = 0
    invitations: int = 0
    copies: int = 0  # rows of `registrants` that a source inserted
    signups: int = 0  # of people who registered with us, registered or not
    others: int = 0  # registrations with another address now, whose mails to this one were removed
    marks: int = 0  # rows of confirmed_elsewhere, suppression, mailed_link, outbox, and the person's choices
    suppressed: bool = False
    remembered: bool = False  # as a digest in `forgotten`, so that no row brings the person back

    @property
    def anything(self) -> bool:
        return any(
            (
                self.registrations,
                self.attempts,
                self.invitations,
                self.copies,
                self.signups,
                self.others,
                self.marks,
            )
        )


@dataclass(frozen=True)
class Traces:
    """The places where an address was found."""

    rows: Mapping[int, str]  # webinar by id of the row in `registrants`
    others: Collection[int]  # registrations with another address now, which got mails at this one
    confirmed: Collection[str]  # webinars for which another system confirmed it
    asked_for: Collection[str]  # its spellings as a recipient in `outbox`


def find(conn: Connection, address: str) -> Traces:
    """Find the traces of an address that no index finds. Scans whole tables: call it outside any lock."""
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
    others = sorted(number for number in others if number > 0)  # negative: forgotten already
    return Traces(rows, others, confirmed.scalars().all(), asked_for)


def forget(conn: Connection, now: datetime, address: str, found: Traces) -> Erased:
    """Remove everything our tables hold about this address, and remember it, so that its rows are passed over. `found`
    is a recent result of `find`. Idempotent."""
    folded, erased = fold(address), Erased()
    dialect(conn).wait_to_plan(conn, "intake")
    signups.lock(conn)
    ids, webinars = _lock_registrations(conn, folded)
    if ids:
        places = _places(conn, ids)
        _detach_mails(conn, now, ids, erased)
        erased.registrations, erased.invitations = len(ids), delete_people(conn, ids)
        _erase_zone_evidence(conn, places)
    for other in found.others:
        _erase_mails_to(conn, other, folded, erased)
    _erase_marks(conn, folded, found, erased)
    copies = _delete_copies(conn, folded)
    erased.copies = len(copies)
    here = signups.remove_address(conn, folded)
    erased.signups = len(here)
    known = forgotten(conn, address)
    if erased.anything or (found.rows and not known):
        erased.suppressed |= known is not None and known[1]
        erased.remembered = True
        webinars |= {*found.rows.values(), *found.confirmed, *copies.values(), *here}
        remember(conn, now, folded, webinars, suppressed=erased.suppressed)
        note_changes(conn, sorted(found.rows.keys() - copies.keys()))
    return erased


def _lock_registrations(conn: Connection, folded: str) -> tuple[list[int], set[str]]:
    """Lock the registrations of this address against planning and sending. Returns their ids and webinars."""
    locked = execute(
        conn,
        "UPDATE registration SET plan = 0 WHERE address_folded = :folded RETURNING id, webinar",
        folded=folded,
    ).all()
    return sorted(row.id for row in locked), {row.webinar for row in locked}


def _detach_mails(conn: Connection, now: datetime, ids: Sequence[int], erased: Erased) -> None:
    """Detach deliveries from these registrations; they stay to be counted. Unsent ones are cancelled; those on the wire
    or in doubt stop being useful, so that they are not tried again."""
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
    """Remove address, reply and language from attempts, since replies often repeat the address. Returns the number of
    attempts. An attempt without an address belongs to a forgotten person (`conclude_attempts.sql`)."""
    stripped = f"UPDATE attempt SET address = '', reply = '', language = '' WHERE address <> '' AND {which}"
    return execute(conn, stripped, **values).rowcount


def _places(conn: Connection, ids: Sequence[int]) -> list[Row[Any]]:
    query = f"SELECT DISTINCT webinar, timezone, country FROM registration WHERE {dialect(conn).among('id', 'ids')}"
    return list(execute(conn, query, ids=as_list(conn, ids)))


def _erase_zone_evidence(conn: Connection, places: Iterable[Row[Any]]) -> None:
    """Delete the evidence (time zone and country as written) that no other registration has."""
    for place in places:
        execute(
            conn,
            "DELETE FROM zone_evidence WHERE webinar = :webinar AND timezone = :timezone AND country = :country"
            " AND NOT EXISTS (SELECT 1 FROM registration r WHERE r.webinar = zone_evidence.webinar"
            " AND r.zone = zone_evidence.zone AND r.timezone = :timezone AND r.country = :country)",
            **place._mapping,
        )


def _erase_mails_to(conn: Connection, registration_id: int, folded: str, erased: Erased) -> None:
    """Erase mails to this address, and former calendar entries, of a registration that has another address now."""
    attempts = execute(
        conn,
        "SELECT a.id, a.address FROM attempt a JOIN delivery d ON d.id = a.delivery_id WHERE d.registration_id = :id",
        id=registration_id,
    )
    ids = [row.id for row in attempts if fold(row.address) == folded]
    erased.attempts += _strip_attempts(conn, dialect(conn).among("id", "ids"), ids=as_list(conn, ids))
    erased.invitations += delete_former(conn, registration_id)
    erased.others += 1


def _delete_copies(conn: Connection, folded: str) -> dict[int, str]:
    """Delete the rows of `registrants` that sources inserted for this address. Returns their webinars by id."""
    if not (copies := drop_source_rows(conn, folded)):
        return {}
    try:
        people = Registrants(conn).people(copies)
    except RegistrantsUnreadable:  # `webinar status` says so
        return {}
    theirs = {row: webinar for row, (webinar, address) in people.items() if fold(address) == folded}
    among = dialect(conn).among("id", "ids")
    execute(conn, f"DELETE FROM registrants WHERE {among}", ids=as_list(conn, sorted(theirs)))
    return theirs


def _erase_marks(conn: Connection, folded: str, found: Traces, erased: Erased) -> None:
    for recipient in found.asked_for:
        asked = "DELETE FROM outbox WHERE recipient = :recipient"
        erased.marks += execute(conn, asked, recipient=recipient).rowcount
    for webinar in found.confirmed:
        mark = "DELETE FROM confirmed_elsewhere WHERE webinar = :webinar AND address_folded = :folded"
        erased.marks += execute(conn, mark, webinar=webinar, folded=folded).rowcount
    erased.marks += mailed_links.forget(conn, folded)
    erased.marks += delete_choices(conn, folded)
    suppression = "DELETE FROM suppression WHERE address_folded = :folded RETURNING webinar"
    scopes = execute(conn, suppression, folded=folded).scalars().all()
    erased.suppressed = EVERYTHING in scopes
    erased.marks += len(scopes)
