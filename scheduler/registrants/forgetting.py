"""Forgets a person: removes all that our tables hold of an address, and keeps its rows in `registrants`, which are
their owner's, from bringing mails back. Rows that a source inserted are copies of ours, and go with the rest.

What is kept is a keyed digest (HMAC-SHA-256) of the address, and one of the address with each webinar in which they
stood. Without the key nobody can compute it for an address that they guess; whoever reads this whole database can, and
finds the row in `registrants` with less work. A key elsewhere would be missing in a restored database, on another
replica or after a move, and then the mails would come back.

Only what says itself that the person registered again brings them back: a row with a `registered_at` after the
forgetting, or `webinar import --registered-again`. A row alone cannot: a reload deletes and inserts it every night.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, Row, bindparam, text

from scheduler.database.engine import as_list, dialect, run
from scheduler.database.models import Instant
from scheduler.input.addresses import fold
from scheduler.ledger.history import registrations_mailed_at, registrations_of
from scheduler.ledger.retention import delete_former, delete_people
from scheduler.ledger.states import State, Why
from scheduler.pulling.state import take_back
from scheduler.registrants.again import note_changes
from scheduler.registrants.rows import Person, Registrants, RegistrantsUnreadable
from scheduler.registrants.rows import Row as RegistrantRow

FORGOTTEN = "its person was forgotten"
"""Why a row is passed over, which nobody needs to do anything about."""
DOUBTFUL = "its person was forgotten, and nothing says whether they registered again"
"""Why a row is set aside that a person must decide about."""
_ANY_ZONE = timedelta(hours=14)  # by which a time without its zone may be ahead of UTC
_AHEAD = timedelta(days=1)  # of now: later than this, a time of registering is none
_OTHERS = 50  # people, here or gone, whose rows tell whether `registered_at` is when people registered


# Digests


def _key(conn: Connection) -> bytes:
    return bytes.fromhex(run(conn, "SELECT value FROM secret WHERE name = 'forgotten'").scalar_one())


def _of_address(key: bytes, folded: str) -> str:
    return hmac.digest(key, b"address\0" + _octets(folded), "sha256").hex()


def _of_person(key: bytes, person: Person) -> str:
    webinar, folded = person
    return hmac.digest(key, b"webinar\0" + _octets(webinar) + b"\0" + _octets(folded), "sha256").hex()


def _octets(words: str) -> bytes:
    return words.encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class _Mark:
    """A row of `forgotten`."""

    since: datetime
    suppressed: bool
    returned_at: datetime | None


def _marks(conn: Connection, digests: Collection[str]) -> dict[str, _Mark]:
    given = dialect(conn).rows("digests", {"digest": "text"})
    query = (
        f"SELECT f.digest, f.since, f.suppressed, f.returned_at FROM {given} AS g {dialect(conn).join_next} forgotten f"
        " ON f.digest = g.digest"
    )
    typed = text(query).columns(since=Instant(), returned_at=Instant())
    rows = conn.execute(typed, {"digests": json.dumps([[one] for one in sorted(digests)])})
    return {row.digest: _Mark(row.since, bool(row.suppressed), row.returned_at) for row in rows}


def forgotten(conn: Connection, address: str) -> tuple[datetime, bool] | None:
    """Since when this address is forgotten, and whether it was suppressed; None where it is not."""
    digest = _of_address(_key(conn), fold(address))
    found = _marks(conn, [digest]).get(digest)
    return (found.since, found.suppressed) if found else None


# Forgetting


@dataclass
class Erased:
    """What was removed, in figures."""

    registrations: int = 0
    mails: int = 0
    cancelled: int = 0  # of the mails: they were still to go
    on_the_wire: int = 0  # of the mails: they go out, and what becomes of them is recorded without the person
    attempts: int = 0
    invitations: int = 0
    copies: int = 0  # rows of `registrants` that a source inserted
    others: int = 0  # registrations with another address now, of which what went to this one was removed
    marks: int = (
        0  # that another system confirmed it, that it is suppressed, that somebody asked for a mail to it
    )
    suppressed: bool = False
    remembered: bool = False  # so that no row of theirs brings them back

    @property
    def anything(self) -> bool:
        return any(
            (self.registrations, self.attempts, self.invitations, self.copies, self.others, self.marks)
        )


@dataclass(frozen=True)
class Found:
    """Where an address stands."""

    rows: Mapping[int, str]  # of `registrants` by id, with their webinar
    others: Collection[int]  # registrations with another address now, to which mails went at this one
    confirmed: Collection[str]  # webinars for which another system confirmed it
    asked_for: Collection[str]  # as it was written where somebody asked for a mail to it (`outbox`)


def find(conn: Connection, address: str) -> Found:
    """What of an address no index finds. Goes through whole tables, so not while anybody waits."""
    folded = fold(address)
    others: Collection[int] = set(registrations_mailed_at(conn, folded)) - set(registrations_of(conn, folded))
    confirmed = run(
        conn, "SELECT webinar FROM confirmed_elsewhere WHERE address_folded = :folded", folded=folded
    )
    try:
        rows = Registrants(conn).of_address(address)
    except RegistrantsUnreadable:  # `webinar status` says so
        rows = {}
    recipients = run(conn, "SELECT DISTINCT recipient FROM outbox").scalars()
    asked_for = [one for one in recipients if fold(one) == folded]
    others = sorted(one for one in others if one > 0)  # those below are forgotten already
    return Found(rows, others, confirmed.scalars().all(), asked_for)


def forget(conn: Connection, now: datetime, address: str, found: Found) -> Erased:
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
    copied = _delete_copies(conn, folded)
    erased.copies = len(copied)
    known = forgotten(conn, address)
    if erased.anything or (found.rows and not known):
        erased.suppressed |= known is not None and known[1]
        erased.remembered = True
        stood = {*webinars, *found.rows.values(), *found.confirmed, *copied.values()}
        _remember(conn, now, folded, stood, suppressed=erased.suppressed)
        note_changes(conn, sorted(found.rows.keys() - copied.keys()))
    return erased


def _lock_registrations(conn: Connection, folded: str) -> tuple[list[int], set[str]]:
    """Those of this address, with their webinars: until the end of the transaction nobody plans or begins a mail."""
    locked = run(
        conn,
        "UPDATE registration SET plan = 0 WHERE address_folded = :folded RETURNING id, webinar",
        folded=folded,
    ).all()
    return sorted(row.id for row in locked), {row.webinar for row in locked}


def _detach_mails(conn: Connection, now: datetime, ids: Sequence[int], erased: Erased) -> None:
    """They stay, to be counted, as mails of nobody: what was still to go is cancelled, and what is on the wire or in
    doubt is of no use any more, so that nobody tries it again."""
    engine = dialect(conn)
    detached = run(
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
    return run(conn, stripped, **values).rowcount


def _places(conn: Connection, ids: Sequence[int]) -> list[Row[Any]]:
    query = f"SELECT DISTINCT webinar, timezone, country FROM registration WHERE {dialect(conn).among('id', 'ids')}"
    return list(run(conn, query, ids=as_list(conn, ids)))


def _erase_zone_evidence(conn: Connection, places: Iterable[Row[Any]]) -> None:
    """What nobody else wrote as their time zone and country."""
    for place in places:
        run(
            conn,
            "DELETE FROM zone_evidence WHERE webinar = :webinar AND timezone = :timezone AND country = :country"
            " AND NOT EXISTS (SELECT 1 FROM registration r WHERE r.webinar = zone_evidence.webinar"
            " AND r.zone = zone_evidence.zone AND r.timezone = :timezone AND r.country = :country)",
            **place._mapping,
        )


def _erase_what_went_there(conn: Connection, registration_id: int, folded: str, erased: Erased) -> None:
    """Of a registration with another address now: what went to this one, and the calendar entries of former ones."""
    of_theirs = "FROM attempt a JOIN delivery d ON d.id = a.delivery_id WHERE d.registration_id = :id"
    there = run(conn, f"SELECT a.id, a.address {of_theirs}", id=registration_id).all()
    ids = [row.id for row in there if fold(row.address) == folded]
    erased.attempts += _strip_attempts(conn, dialect(conn).among("id", "ids"), ids=as_list(conn, ids))
    erased.invitations += delete_former(conn, registration_id)
    erased.others += 1


def _delete_copies(conn: Connection, folded: str) -> dict[int, str]:
    """Of `registrants` the rows that sources inserted for this address, by id with their webinar."""
    if not (copies := take_back(conn, folded)):
        return {}
    try:
        people = Registrants(conn).people(copies)
    except RegistrantsUnreadable:  # `webinar status` says so
        return {}
    theirs = {row: webinar for row, (webinar, address) in people.items() if fold(address) == folded}
    among = dialect(conn).among("id", "ids")
    run(conn, f"DELETE FROM registrants WHERE {among}", ids=as_list(conn, sorted(theirs)))
    return theirs


def _erase_marks(conn: Connection, folded: str, found: Found, erased: Erased) -> None:
    for recipient in found.asked_for:
        asked = "DELETE FROM outbox WHERE recipient = :recipient"
        erased.marks += run(conn, asked, recipient=recipient).rowcount
    for webinar in found.confirmed:
        mark = "DELETE FROM confirmed_elsewhere WHERE webinar = :webinar AND address_folded = :folded"
        erased.marks += run(conn, mark, webinar=webinar, folded=folded).rowcount
    suppression = "DELETE FROM suppression WHERE address_folded = :folded"
    erased.suppressed = run(conn, suppression, folded=folded).rowcount > 0
    erased.marks += erased.suppressed


def _remember(
    conn: Connection, now: datetime, folded: str, webinars: Iterable[str], *, suppressed: bool
) -> None:
    key = _key(conn)
    people = [_of_person(key, (webinar, folded)) for webinar in sorted(webinars)]
    for digest, is_address in [(_of_address(key, folded), True), *((one, False) for one in people)]:
        run(
            conn,
            "INSERT INTO forgotten (digest, since, suppressed) VALUES (:digest, :now, :suppressed)"
            " ON CONFLICT (digest) DO UPDATE SET since = excluded.since, suppressed = excluded.suppressed,"
            " returned_at = NULL",
            digest=digest,
            now=now,
            suppressed=suppressed and is_address,
        )


def suppress_forgotten(conn: Connection, address: str) -> bool:
    """Let nobody write to this address, whatever it registers for, by its digest alone. False where it is not
    forgotten, or has registered again since."""
    folded = fold(address)
    registered = run(conn, "SELECT 1 FROM registration WHERE address_folded = :folded LIMIT 1", folded=folded)
    if registered.first():
        return False
    digest = _of_address(_key(conn), folded)
    return (
        run(conn, "UPDATE forgotten SET suppressed = TRUE WHERE digest = :digest", digest=digest).rowcount > 0
    )


# Rows of whoever was forgotten


def rows_of_forgotten(
    conn: Connection, now: datetime, registrants: Registrants, rows: Sequence[RegistrantRow]
) -> dict[int, str]:
    """Why rows are passed over, by id: FORGOTTEN, or DOUBTFUL where a person must decide. Whoever registered again is
    not among them, and is remembered as such."""
    if not rows or not run(conn, "SELECT EXISTS (SELECT 1 FROM forgotten)").scalar():
        return {}
    key = _key(conn)
    addresses = {row.id: _of_address(key, fold(row.email)) for row in rows}
    marks = _marks(conn, addresses.values())
    theirs = [row for row in rows if addresses[row.id] in marks]
    if not theirs:
        return {}
    people = {row.id: _of_person(key, (row.webinar, fold(row.email))) for row in theirs}
    stood, said = _marks(conn, people.values()), registrants.registered_at(people)
    passed, back = dict[int, str](), list[str]()
    registration_time = cache(partial(_tells_when_people_registered, conn, registrants))
    for row in theirs:
        mark, here = marks[addresses[row.id]], stood.get(people[row.id])
        if _has_returned(mark, here):
            continue
        reason = FORGOTTEN if mark.suppressed else _why_not_back(said.get(row.id, ""), mark.since, now, here)
        if not reason and not registration_time(row.webinar, said[row.id], mark.since):
            reason = DOUBTFUL
        if reason:
            passed[row.id] = reason
        else:
            back.append(people[row.id])
    _note_returned(conn, now, back)
    return passed


def stay_forgotten(conn: Connection, now: datetime, people: Mapping[Person, str]) -> set[Person]:
    """Who of these people was forgotten, and nothing says that they registered again: whoever copies rows writes none
    of theirs down. By folded address, with their `registered_at` or ""."""
    if not run(conn, "SELECT EXISTS (SELECT 1 FROM forgotten)").scalar():
        return set()
    key = _key(conn)
    of_address = {one: _of_address(key, one[1]) for one in people}
    of_person = {one: _of_person(key, one) for one in people}
    marks = _marks(conn, {*of_address.values(), *of_person.values()})
    return {
        one
        for one, said in people.items()
        if (mark := marks.get(of_address[one])) and _stays(mark, marks.get(of_person[one]), said, now)
    }


def _stays(mark: _Mark, here: _Mark | None, said: str, now: datetime) -> bool:
    if _has_returned(mark, here):
        return False
    return mark.suppressed or _why_not_back(said, mark.since, now, here) == FORGOTTEN


def _why_not_back(said: str, since: datetime, now: datetime, stood: _Mark | None) -> str:
    """Why a row brings nobody back, by what it says of when they registered; "" where they registered again. `stood`:
    whether they were in this webinar when they were forgotten, as in a reload they are again."""
    instant, has_zone = _instant(said)
    if instant is None:
        return FORGOTTEN if stood else DOUBTFUL
    if instant <= since:
        return FORGOTTEN
    sure = instant > since + (timedelta(0) if has_zone else _ANY_ZONE) and instant <= now + _AHEAD
    return "" if sure else DOUBTFUL


def _instant(said: str) -> tuple[datetime | None, bool]:
    """An instant as somebody wrote it, and whether with its zone."""
    try:
        instant = datetime.fromisoformat(said)
        return (instant.astimezone(UTC), True) if instant.tzinfo else (instant.replace(tzinfo=UTC), False)
    except (ValueError, OverflowError):
        return None, False


def _tells_when_people_registered(
    conn: Connection, registrants: Registrants, webinar: str, said: str, since: datetime
) -> bool:
    """Whether `registered_at` of this webinar's rows is when people registered, not when the rows were loaded: most of
    those who were there before this time say an earlier one than we first saw them. False where nobody can be compared
    with.

    Those whose row was gone are asked, too: they may have one again, by the same reload.
    """
    first_seen = _first_seen(conn, registrants, webinar, _instant(said)[0])
    earlier = [
        instant <= (first_seen[row] if has_zone else max(first_seen[row], since))
        for row, words in registrants.registered_at(first_seen).items()
        for instant, has_zone in [_instant(words)]
        if instant
    ]
    return sum(earlier) * 2 > len(earlier)


def _first_seen(
    conn: Connection, registrants: Registrants, webinar: str, before: datetime | None
) -> dict[int, datetime]:
    """The rows of people whom we first saw before this, and when: some of those who are here, and of those who left
    last, as far as they have a row."""
    people, seen = set[Person](), dict[Person, datetime]()
    for which in ("gone_at IS NOT NULL ORDER BY gone_at DESC", "gone_at IS NULL"):
        query = (
            "SELECT address, address_folded, first_seen_at FROM registration"
            f" WHERE webinar = :webinar AND first_seen_at < :before AND {which} LIMIT :most"
        )
        typed = (
            text(query).bindparams(bindparam("before", before, Instant())).columns(first_seen_at=Instant())
        )
        for row in conn.execute(typed, {"webinar": webinar, "most": _OTHERS}):
            people.add((webinar, row.address))
            seen[webinar, row.address_folded] = row.first_seen_at
    return {row: seen[person] for person, row in registrants.find(people).items()}


def registered_again(conn: Connection, now: datetime, people: Iterable[Person]) -> None:
    """Somebody says that these people registered again: those among them who were forgotten come back."""
    if run(conn, "SELECT EXISTS (SELECT 1 FROM forgotten)").scalar():
        key = _key(conn)
        of_address = {one: _of_address(key, one[1]) for one in people}
        marks = _marks(conn, of_address.values())
        _note_returned(conn, now, [_of_person(key, one) for one in of_address if of_address[one] in marks])


def not_forgotten(conn: Connection, people: Iterable[Person]) -> list[Person]:
    """Those of these people of whom something may be written down: who was never forgotten, or registered again."""
    people = list(people)
    if not run(conn, "SELECT EXISTS (SELECT 1 FROM forgotten)").scalar():
        return people
    key = _key(conn)
    of_address = {one: _of_address(key, one[1]) for one in people}
    of_person = {one: _of_person(key, one) for one in people}
    marks = _marks(conn, {*of_address.values(), *of_person.values()})
    return [
        one
        for one in people
        if (mark := marks.get(of_address[one])) is None or _has_returned(mark, marks.get(of_person[one]))
    ]


def _has_returned(mark: _Mark, here: _Mark | None) -> bool:
    returned_at = here.returned_at if here else None
    return not mark.suppressed and returned_at is not None and returned_at >= mark.since


def _note_returned(conn: Connection, now: datetime, digests: Collection[str]) -> None:
    if digests:
        given = dialect(conn).rows("digests", {"digest": "text"})
        run(
            conn,
            "INSERT INTO forgotten (digest, since, suppressed, returned_at)"
            f" SELECT digest, :now, FALSE, :now FROM {given} AS g WHERE TRUE"
            " ON CONFLICT (digest) DO UPDATE SET returned_at = excluded.returned_at",
            digests=json.dumps([[one] for one in sorted(set(digests))]),
            now=now,
        )
