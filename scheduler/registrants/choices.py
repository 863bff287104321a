"""What registrants chose on their pages: their time zone and language, messages that they do not want, and whether
they come.

A choice belongs to a webinar and a folded address, not to a row, so that it outlives nightly reloads. An address that
is corrected is a new recipient, for whom nothing is chosen: whoever reads the mails that went to a wrong address must
not withdraw somebody else.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from scheduler.database.engine import dialect, execute
from scheduler.database.models import Instant
from scheduler.registrants.rows import Person, is_here

CONFIRMED = "confirmed"
"""How a chosen zone is known (`zones.evidence.KnownBy`)."""
_COLUMN_TYPES = ("", "timestamptz", "timestamp")
"""The types of `registrants.withdrawn_at` that can be written; "": any (SQLite)."""


@dataclass(frozen=True)
class Chosen:
    """A row of `choice`."""

    zone: str = ""
    zone_over: str = ""
    language: str = ""
    language_over: str = ""
    withdrawn_at: datetime | None = None


NOTHING = Chosen()


def chosen(conn: Connection, people: Collection[Person]) -> dict[Person, Chosen]:
    """What these people chose, by webinar and folded address. People who chose nothing are left out."""
    if not people:
        return {}
    engine = dialect(conn)
    given = engine.rows("people", {"webinar": "text", "folded": "text"})
    query = (
        "SELECT c.webinar, c.address_folded, c.zone, c.zone_over, c.language, c.language_over, c.withdrawn_at"
        f" FROM {given} AS p {engine.join_next} choice c"
        f" ON {engine.equal('c.webinar', 'p.webinar')} AND {engine.equal('c.address_folded', 'p.folded')}"
    )
    rows = conn.execute(
        text(query).columns(withdrawn_at=Instant()), {"people": json.dumps(sorted(set(people)))}
    )
    return {(webinar, folded): Chosen(*values) for webinar, folded, *values in rows}


def choose_zone(conn: Connection, now: datetime, person: Person, zone: str, over: str) -> None:
    """Record a zone that outranks the row's time zone while that is `over`; "" for none."""
    _choose(conn, now, person, zone=zone, zone_over=over)


def choose_language(conn: Connection, now: datetime, person: Person, language: str, over: str) -> None:
    """Record a language that outranks the row's while that is `over`; "" for none."""
    _choose(conn, now, person, language=language, language_over=over)


def withdraw(conn: Connection, now: datetime, person: Person) -> None:
    """Record that this person does not come; the first time counts."""
    if chosen(conn, [person]).get(person, NOTHING).withdrawn_at is None:
        _choose(conn, now, person, withdrawn_at=now)


def come_back(conn: Connection, now: datetime, person: Person) -> None:
    """Record that this person comes, whatever they said before."""
    if chosen(conn, [person]).get(person, NOTHING).withdrawn_at is not None:
        _choose(conn, now, person, withdrawn_at=None)


def _choose(conn: Connection, now: datetime, person: Person, **values: str | datetime | None) -> None:
    names, binds = ", ".join(values), ", ".join(f":{name}" for name in values)
    execute(
        conn,
        f"INSERT INTO choice (webinar, address_folded, changed_at, {names})"
        f" VALUES (:webinar, :folded, :now, {binds}) ON CONFLICT (webinar, address_folded) DO UPDATE SET"
        f" changed_at = excluded.changed_at, {', '.join(f'{name} = excluded.{name}' for name in values)}",
        webinar=person[0],
        folded=person[1],
        now=now,
        **values,
    )


def drop_zone(conn: Connection, now: datetime, person: Person) -> None:
    """Delete the zone that this person chose: their row says otherwise now."""
    choose_zone(conn, now, person, "", "")


def drop_language(conn: Connection, now: datetime, person: Person) -> None:
    """Delete the language that this person chose: their row says otherwise now."""
    choose_language(conn, now, person, "", "")


def unwanted_by(conn: Connection, person: Person) -> frozenset[str]:
    """The messages that this person does not want."""
    query = "SELECT message FROM unwanted WHERE webinar = :webinar AND address_folded = :folded"
    return frozenset(execute(conn, query, webinar=person[0], folded=person[1]).scalars())


def choose_messages(conn: Connection, person: Person, unwanted: Iterable[str]) -> None:
    """Record that this person does not want these messages, and wants all others."""
    here = {"webinar": person[0], "folded": person[1]}
    execute(conn, "DELETE FROM unwanted WHERE webinar = :webinar AND address_folded = :folded", **here)
    for message in sorted(set(unwanted)):
        execute(
            conn,
            "INSERT INTO unwanted (webinar, address_folded, message) VALUES (:webinar, :folded, :message)"
            " ON CONFLICT DO NOTHING",
            message=message,
            **here,
        )


def write_withdrawn_at(conn: Connection, rows: Mapping[int, datetime | None]) -> None:
    """Write since when people do not come to their rows of `registrants`, by id, where the table has the column.

    Rows that another transaction is changing are passed over: they are taken in again after that, and then written. A
    table that may not be written stays as it is.
    """
    ours = {number: at for number, at in rows.items() if not is_here(number)}
    engine = dialect(conn)
    if not ours or engine.column_types(conn, "registrants").get("withdrawn_at") not in _COLUMN_TYPES:
        return
    given = engine.rows("rows", {"id": "bigint", "at": "timestamptz"})
    savepoint = conn.begin_nested()
    try:
        execute(
            conn,
            f"UPDATE registrants SET withdrawn_at = p.at FROM {given} AS p WHERE registrants.id = p.id"
            " AND (registrants.withdrawn_at IS NULL) <> (p.at IS NULL) AND registrants.id IN"
            f" (SELECT id FROM registrants WHERE {engine.among('id', 'ids')} {engine.update_skipping})",
            rows=json.dumps([[number, at and engine.written(at)] for number, at in sorted(ours.items())]),
            ids=engine.as_numbers(sorted(ours)),
        )
        savepoint.commit()
    except DBAPIError:
        savepoint.rollback()


def delete_choices(conn: Connection, folded: str) -> int:
    """Delete whatever this address chose, for all webinars. Returns the number of rows."""
    return sum(
        execute(conn, f"DELETE FROM {table} WHERE address_folded = :folded", folded=folded).rowcount
        for table in ("choice", "unwanted")
    )
