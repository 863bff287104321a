"""Whoever was forgotten (`ledger.forgetting`): their rows in `registrants`, which are their owner's, bring no mails
back.

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
from collections.abc import Collection, Iterable, Sequence
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
"""Why a row is passed over, which nobody needs to do anything about."""
DOUBTFUL = "its person was forgotten, and nothing says whether they registered again"
"""Why a row is set aside that a person must decide about."""
_ANY_ZONE = timedelta(hours=14)  # by which a time without its zone may be ahead of UTC
_AHEAD = timedelta(days=1)  # of now: later than this, a time of registering is none
_OTHERS = 50  # people, here or gone, whose rows tell whether `registered_at` is when people registered


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
    """Since when this address is forgotten, and whether it was suppressed; None where it is not."""
    digest = _of_address(_key(conn), fold(address))
    found = _marks(conn, [digest]).get(digest)
    return (found.since, found.suppressed) if found else None


def remember(
    conn: Connection, now: datetime, folded: str, webinars: Iterable[str], *, suppressed: bool
) -> None:
    """Keep digests of a folded address, and of it with each of these webinars, so that no row brings it back."""
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
    """Let nobody write to this address, whatever it registers for, by its digest alone. False where it is not
    forgotten, or has registered again since."""
    folded = fold(address)
    registered = execute(
        conn, "SELECT 1 FROM registration WHERE address_folded = :folded LIMIT 1", folded=folded
    )
    if registered.first():
        return False
    digest = _of_address(_key(conn), folded)
    return (
        execute(conn, "UPDATE forgotten SET suppressed = TRUE WHERE digest = :digest", digest=digest).rowcount
        > 0
    )


# Rows of whoever was forgotten


def rows_of_forgotten(
    conn: Connection, now: datetime, registrants: Registrants, rows: Sequence[RegistrantRow]
) -> dict[int, str]:
    """Why rows are passed over, by id: FORGOTTEN, or DOUBTFUL where a person must decide. Whoever registered again is
    not among them, and is remembered as such."""
    if not rows or not execute(conn, "SELECT EXISTS (SELECT 1 FROM forgotten)").scalar():
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
    if execute(conn, "SELECT EXISTS (SELECT 1 FROM forgotten)").scalar():
        key = _key(conn)
        of_address = {one: _of_address(key, one[1]) for one in people}
        marks = _marks(conn, of_address.values())
        _note_returned(conn, now, [_of_person(key, one) for one in of_address if of_address[one] in marks])


def not_forgotten(conn: Connection, people: Iterable[Person]) -> list[Person]:
    """Those of these people of whom something may be written down: who was never forgotten, or registered again."""
    people = list(people)
    if not execute(conn, "SELECT EXISTS (SELECT 1 FROM forgotten)").scalar():
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
        execute(
            conn,
            "INSERT INTO forgotten (digest, since, suppressed, returned_at)"
            f" SELECT digest, :now, FALSE, :now FROM {given} AS g WHERE TRUE"
            " ON CONFLICT (digest) DO UPDATE SET returned_at = excluded.returned_at",
            digests=json.dumps([[one] for one in sorted(set(digests))]),
            now=now,
        )
