"""Forgotten people (`ledger.forgetting`): rows of theirs that stay in `registrants` cause no new mails.

A keyed digest (HMAC-SHA-256, RFC 2104) is kept of the address, and one of the address with each webinar of theirs.
Without the key it cannot be computed for a guessed address. Somebody who reads the whole database has the key, but
finds the row in `registrants` with less work. A key stored elsewhere would be missing in a restored database, on
another replica or after a move, and the mails would resume.

A person comes back only by explicit evidence of a new registration: a row with a `registered_at` after the forgetting,
or `webinar import --registered-again`. A row alone proves nothing: a reload deletes and inserts it every night.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial

from sqlalchemy import Connection, bindparam, text

from scheduler.database.engine import dialect, execute
from scheduler.database.models import Instant
from scheduler.input.addresses import fold
from scheduler.registrants.rows import Person, Registrants
from scheduler.registrants.rows import Row as RegistrantRow

FORGOTTEN = "its person was forgotten"
"""Reason for passing over a row; nobody needs to act."""
DOUBTFUL = "its person was forgotten, and nothing says whether they registered again"
"""Reason for setting a row aside until a person decides."""
_ANY_ZONE = timedelta(hours=14)  # the most by which a time without a zone may be ahead of UTC
_AHEAD = timedelta(days=1)  # a registered_at further in the future than this is no time of registration
_OTHERS = 50  # people, present and gone, whose rows are compared to judge `registered_at`


def _key(conn: Connection) -> bytes:
    return bytes.fromhex(execute(conn, "SELECT value FROM secret WHERE name = 'forgotten'").scalar_one())


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
    """Since when (UTC) this address is forgotten, and whether it was suppressed; None if it is not forgotten."""
    digest = _of_address(_key(conn), fold(address))
    found = _marks(conn, [digest]).get(digest)
    return (found.since, found.suppressed) if found else None


def remember(
    conn: Connection, now: datetime, folded: str, webinars: Iterable[str], *, suppressed: bool
) -> None:
    """Store digests of a folded address, alone and with each of these webinars, so that its rows are passed over."""
    key = _key(conn)
    people = [_of_person(key, (webinar, folded)) for webinar in sorted(webinars)]
    for digest, is_address in [(_of_address(key, folded), True), *((one, False) for one in people)]:
        execute(
            conn,
            "INSERT INTO forgotten (digest, since, suppressed) VALUES (:digest, :now, :suppressed)"
            " ON CONFLICT (digest) DO UPDATE SET since = excluded.since, suppressed = excluded.suppressed,"
            " returned_at = NULL",
            digest=digest,
            now=now,
            suppressed=suppressed and is_address,
        )


def suppress_forgotten(conn: Connection, address: str) -> bool:
    """Suppress a forgotten address by its digest. Returns False if it is not forgotten, or registered again since."""
    folded = fold(address)
    registered = execute(
        conn, "SELECT 1 FROM registration WHERE address_folded = :folded LIMIT 1", folded=folded
    )
    return not registered.first() and _mark_suppressed(conn, folded, suppressed=True)


def unsuppress_forgotten(conn: Connection, address: str) -> bool:
    """End the suppression of a forgotten address. Returns False if it has none."""
    return _mark_suppressed(conn, fold(address), suppressed=False)


def _mark_suppressed(conn: Connection, folded: str, *, suppressed: bool) -> bool:
    """Set the mark beside the digest of a forgotten address. Returns False if there is nothing to set."""
    marked = execute(
        conn,
        "UPDATE forgotten SET suppressed = :suppressed WHERE digest = :digest AND (:suppressed OR suppressed)",
        digest=_of_address(_key(conn), folded),
        suppressed=suppressed,
    )
    return marked.rowcount > 0


# Rows of forgotten people


def rows_of_forgotten(
    conn: Connection, now: datetime, registrants: Registrants, rows: Sequence[RegistrantRow]
) -> dict[int, str]:
    """The rows to pass over, by id: FORGOTTEN, or DOUBTFUL where a person must decide. Rows of people who registered
    again are left out, and their return is recorded."""
    people = {row.id: (row.webinar, fold(row.email)) for row in rows}
    marks = _marks_of(conn, people.values())
    theirs = {row: person for row, person in people.items() if person in marks}
    if not theirs:
        return {}
    said = registrants.registered_at(theirs)
    passed, back = dict[int, str](), list[Person]()
    registration_time = cache(partial(_is_registration_time, conn, registrants))
    for row, person in theirs.items():
        mark, here = marks[person]
        if _has_returned(mark, here):
            continue
        reason = FORGOTTEN if mark.suppressed else _why_not_back(said.get(row, ""), mark.since, now, here)
        if not reason and not registration_time(person[0], said[row], mark.since):
            reason = DOUBTFUL
        if reason:
            passed[row] = reason
        else:
            back.append(person)
    _record_returned(conn, now, back)
    return passed


def stay_forgotten(conn: Connection, now: datetime, people: Mapping[Person, str]) -> set[Person]:
    """The people among these who were forgotten and did not register again, so that no copy of their rows is made.
    `people`: by folded address, with their `registered_at` or ""."""
    return {
        one for one, (mark, here) in _marks_of(conn, people).items() if _stays(mark, here, people[one], now)
    }


def _stays(mark: _Mark, here: _Mark | None, said: str, now: datetime) -> bool:
    if _has_returned(mark, here):
        return False
    return mark.suppressed or _why_not_back(said, mark.since, now, here) == FORGOTTEN


def came_back(conn: Connection, now: datetime, people: Mapping[Person, str]) -> set[Person]:
    """The forgotten people among these whose `registered_at` shows that they registered again. `people`: by folded
    address."""
    return {
        one
        for one, (mark, here) in _marks_of(conn, people).items()
        if not mark.suppressed and not _why_not_back(people[one], mark.since, now, here)
    }


def _why_not_back(said: str, since: datetime, now: datetime, stood: _Mark | None) -> str:
    """Why a row with this registered_at (`said`) brings nobody back; "" if it shows a new registration. `stood`: the
    person was in this webinar when forgotten, so a reload brings the row, too."""
    instant, has_zone = _instant(said)
    if instant is None:
        return FORGOTTEN if stood else DOUBTFUL
    if instant <= since:
        return FORGOTTEN
    sure = instant > since + (timedelta(0) if has_zone else _ANY_ZONE) and instant <= now + _AHEAD
    return "" if sure else DOUBTFUL


def _instant(said: str) -> tuple[datetime | None, bool]:
    """An instant as written (UTC if it has no zone), and whether it has a zone; (None, False) if it is none."""
    try:
        instant = datetime.fromisoformat(said)
        return (instant.astimezone(UTC), True) if instant.tzinfo else (instant.replace(tzinfo=UTC), False)
    except (ValueError, OverflowError):
        return None, False


def _is_registration_time(
    conn: Connection, registrants: Registrants, webinar: str, said: str, since: datetime
) -> bool:
    """Whether `registered_at` in this webinar's rows is the time of registration, not of a load: for most people first
    seen before `said`, it is earlier than when they were first seen. False if there is nobody to compare with.

    People whose row was gone count, too: the same reload may have brought it back.
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
    """When people first seen before `before` were first seen (UTC), by the id of their row: up to _OTHERS of those who
    left last, and as many of those present."""
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
    """Record that these people registered again, as an operator says: forgotten ones among them come back."""
    _record_returned(conn, now, _marks_of(conn, list(people)))


def not_forgotten(conn: Connection, people: Iterable[Person]) -> list[Person]:
    """The people among these about whom data may be stored: never forgotten, or registered again since."""
    people = list(people)
    found = _marks_of(conn, people)
    return [one for one in people if one not in found or _has_returned(*found[one])]


def _marks_of(conn: Connection, people: Collection[Person]) -> dict[Person, tuple[_Mark, _Mark | None]]:
    """For the people whose address was forgotten: the mark of the address, and that of the person in this webinar."""
    if not people or not execute(conn, "SELECT EXISTS (SELECT 1 FROM forgotten)").scalar():
        return {}
    key = _key(conn)
    of_address = {one: _of_address(key, one[1]) for one in people}
    marks = _marks(conn, of_address.values())
    of_person = {one: _of_person(key, one) for one in people if of_address[one] in marks}
    here = _marks(conn, of_person.values()) if of_person else {}
    return {one: (marks[of_address[one]], here.get(digest)) for one, digest in of_person.items()}


def _has_returned(mark: _Mark, here: _Mark | None) -> bool:
    returned_at = here.returned_at if here else None
    return not mark.suppressed and returned_at is not None and returned_at >= mark.since


def _record_returned(conn: Connection, now: datetime, people: Collection[Person]) -> None:
    if people:
        key = _key(conn)
        given = dialect(conn).rows("digests", {"digest": "text"})
        execute(
            conn,
            "INSERT INTO forgotten (digest, since, suppressed, returned_at)"
            f" SELECT digest, :now, FALSE, :now FROM {given} AS g WHERE TRUE"
            " ON CONFLICT (digest) DO UPDATE SET returned_at = excluded.returned_at",
            digests=json.dumps([[one] for one in sorted({_of_person(key, person) for person in people})]),
            now=now,
        )
