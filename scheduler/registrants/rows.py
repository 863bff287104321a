"""Reads rows of `registrants` as text and checks whether they can be used. All reads of the table are here.

The table belongs to others: a column may be dropped or change its type at any time, and a value may have any length.
People who registered with us (`registrants.signups`) are read like its rows, by ids below HERE.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import Connection, CursorResult
from sqlalchemy.exc import ProgrammingError

from scheduler.database.engine import as_list, dialect, execute
from scheduler.faults import fault
from scheduler.input.addresses import fold, spellings, why_no_address
from scheduler.readiness import Kind
from scheduler.troubles import Trouble

COLUMNS = ("webinar", "email", "name", "language", "timezone", "country", "join_url")
MAX_LENGTH = 2000  # characters of any one value
MAX_SHORT = 200  # characters of values in a key: an index row of PostgreSQL takes about 2,700 octets
_SHORT = ("language", "timezone", "country")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Most links match, and need no parsing.
_ORDINARY_LINK = re.compile(r"https://[A-Za-z0-9.-]*[A-Za-z0-9](?:[/?#][!#-;=?-\[\]_a-z~]*)?")
_NUMBER, _TEXT = ("int2", "int4", "int8"), ("text", "varchar", "bpchar", "citext")
_NEEDED = {"id": ("an integer", _NUMBER), "webinar": ("text", _TEXT), "email": ("text", _TEXT)}
"""The columns without which no row can be taken in, with the types that they may have."""
UNKNOWN_WEBINAR = "unknown webinar"
_ONE_ADDRESS = re.compile(r"\(webinar,\s*lower\(\(?email\b")

Person = tuple[str, str]
"""A webinar and an address, as written."""


class RegistrantsUnreadable(Trouble):
    """No row of `registrants` can be taken in: a column is missing, has another type or may not be read."""

    kind: Kind = Kind.COLUMNS

    def __init__(self, why: str) -> None:
        super().__init__(f"new registrations are not taken in: {why}")


class Row(NamedTuple):
    """One row as text; an absent value is ''."""

    id: int
    webinar: str
    email: str
    name: str = ""
    language: str = ""
    timezone: str = ""
    country: str = ""
    join_url: str = ""


HERE = -(2**62)
"""Row n of `signup` has the id HERE - n, below all ids that others give to rows of `registrants`."""


def is_here(number: int) -> bool:
    """Whether this is the id of a row of `signup`."""
    return number < HERE


def place_of(number: int) -> str:
    """Where a row is, for people who look for it."""
    return f"signup, row {HERE - number}" if is_here(number) else f"registrants, row {number}"


class Registrants:
    """The table `registrants` with the columns that it has now. Unless noted, lookups use an index."""

    def __init__(self, conn: Connection) -> None:
        """Raises RegistrantsUnreadable."""
        self._conn, self._engine = conn, dialect(conn)
        types = self._engine.column_types(conn, "registrants")
        if reason := _why_unreadable(types):
            raise RegistrantsUnreadable(reason)
        self.columns = frozenset(types)

    def insert(self, rows: Iterable[Mapping[str, object]], returning: str = "") -> CursorResult[Any]:
        """Insert these rows, with the columns that the table has; rows whose address it has already are skipped.
        `registered_at` is encoded by `Dialect.written`. `returning`: columns of the inserted rows to return."""
        kinds = dict.fromkeys(COLUMNS, "text") | {"registered_at": "timestamptz"}
        columns = {name: kind for name, kind in kinds.items() if name in self.columns}
        names = ", ".join(columns)
        return execute(
            self._conn,
            f"INSERT INTO registrants ({names}) SELECT {names} FROM {self._engine.rows('people', columns)} AS p"
            f" WHERE TRUE ON CONFLICT DO NOTHING{f' RETURNING {returning}' if returning else ''}",
            people=json.dumps([[row.get(name) for name in columns] for row in rows]),
        )

    def read(self, ids: Iterable[int]) -> list[Row]:
        """The existing rows with these ids, ordered by id: every column as text, stripped, with NUL as U+FFFD. Only the
        beginning of an overlong value is read. A missing column reads as ''."""
        cells = ", ".join(self._cell(column) for column in COLUMNS)
        ours = ", ".join(("webinar", "address", *COLUMNS[2:]))
        found = self._by_id(ids, cells, ours)
        return sorted(Row(row[0], *(value and _tidy(value) for value in row[1:])) for row in found)

    def people(self, ids: Iterable[int]) -> dict[int, Person]:
        """Webinar and address of the existing rows with these ids, by id."""
        found = self._by_id(ids, self._person, "webinar, address")
        return {row[0]: (_tidy(row[1]), _tidy(row[2])) for row in sorted(found, key=lambda row: int(row[0]))}

    def _by_id(self, ids: Iterable[int], cells: str, ours: str) -> list[Any]:
        """The existing rows with these ids: these columns of `registrants`, or `ours` of people who registered here."""
        ids = list(ids)
        sql = f"SELECT r.id, {cells} FROM registrants r WHERE {self._engine.among('r.id', 'ids')}"
        theirs = as_list(self._conn, [number for number in ids if not is_here(number)])
        with _readable():
            found = list(execute(self._conn, sql, ids=theirs).all())
        if signups := [HERE - number for number in ids if is_here(number)]:
            among = self._engine.among("id", "ids")
            sql = f"SELECT {HERE} - id, {ours} FROM signup WHERE state = 'registered' AND {among}"
            found += execute(self._conn, sql, ids=as_list(self._conn, signups)).all()
        return found

    def find(self, people: Collection[Person]) -> dict[Person, int]:
        """The rows of these people, by webinar and folded address. Rows are looked up by the database's `lower`, then
        compared by `fold`. Scans the table if the unique index is missing."""
        if not people:
            return {}
        wanted = {(webinar, fold(address)) for webinar, address in people}
        with _readable():
            rows = self._lookup(people) if has_index(self._conn) else self._everybody()
        found = (((_tidy(row[1]), fold(_tidy(row[2]))), row[0]) for row in rows)
        return {person: number for person, number in found if person in wanted}

    def find_here(self, people: Iterable[Person]) -> dict[Person, int]:
        """The people among these, by webinar and folded address, who registered with us, with the ids of their rows."""
        people = sorted({(webinar, fold(address)) for webinar, address in people})
        if not people or not execute(self._conn, "SELECT EXISTS (SELECT 1 FROM signup)").scalar():
            return {}
        given = self._engine.rows("people", {"webinar": "text", "folded": "text"})
        found = execute(
            self._conn,
            f"SELECT s.id, s.webinar, s.address_folded FROM {given} AS p {self._engine.join_next} signup s"
            f" ON {self._engine.equal('s.webinar', 'p.webinar')}"
            f" AND {self._engine.equal('s.address_folded', 'p.folded')} WHERE s.state = 'registered'",
            people=json.dumps(people),
        )
        return {(row.webinar, row.address_folded): HERE - row.id for row in found}

    def find_anywhere(self, people: Collection[Person]) -> dict[Person, int]:
        """The rows of these people: ours where they registered here as well."""
        return self.find(people) | self.find_here(people)

    def of_address(self, address: str) -> dict[int, str]:
        """The webinars of the rows with this address, by id. Scans the whole table."""
        odd = f"{self._engine.not_visible_ascii('r.email')} OR lower(r.email) LIKE '%xn--%'"
        sql = f"SELECT r.id, {self._person} FROM registrants r WHERE lower(r.email) IN :spelled OR {odd}"
        with _readable():
            rows: Sequence[Any] = execute(
                self._conn, sql, spelled=[one.strip().lower() for one in spellings(address)]
            ).all()
        folded = fold(address)
        return {row[0]: _tidy(row[1]) for row in rows if fold(_tidy(row[2])) == folded}

    def registered_at(self, ids: Iterable[int]) -> dict[int, str]:
        """The values of registered_at in these rows, as written, by id. Rows without one are left out."""
        sql = f"SELECT r.id, {self._cell('registered_at')} FROM registrants r WHERE {self._engine.among('r.id', 'ids')}"
        with _readable():
            rows: Sequence[Any] = execute(self._conn, sql, ids=as_list(self._conn, sorted(ids))).all()
        return {row[0]: said for row in rows if (said := _tidy(row[1]))}

    def odd(self, webinar: str) -> dict[Person, int]:
        """The rows of a webinar that `find` may miss, by its key: their address equals another by `fold`, but not by
        `lower`. Scans all rows of the webinar."""
        odd = f"({self._engine.not_visible_ascii('r.email')} OR lower(r.email) LIKE '%xn--%')"
        sql = f"SELECT r.id, {self._person} FROM registrants r WHERE r.webinar = :webinar AND {odd}"
        with _readable():
            rows: Sequence[Any] = execute(self._conn, sql, webinar=webinar).all()
        return {(_tidy(row[1]), fold(_tidy(row[2]))): row[0] for row in rows}

    def _lookup(self, people: Collection[Person]) -> Sequence[Any]:
        given = self._engine.rows("people", {"webinar": "text", "address": "text"})
        sql = (
            f"SELECT r.id, {self._person} FROM {given} AS p {self._engine.join_next} registrants r"
            f" ON {self._engine.equal('r.webinar', 'p.webinar')}"
            f" AND {self._engine.equal('lower(r.email)', 'lower(p.address)')}"
        )
        return execute(self._conn, sql, people=json.dumps(sorted(people))).all()

    def _everybody(self) -> Sequence[Any]:
        return execute(self._conn, f"SELECT r.id, {self._person} FROM registrants r").all()

    @property
    def _person(self) -> str:
        return f"{self._cell('webinar')}, {self._cell('email')}"

    def _cell(self, column: str) -> str:
        if column not in self.columns:
            return "''"
        return f"coalesce({self._engine.beginning(f'r.{column}', MAX_LENGTH)}, '')"


def has_index(conn: Connection) -> bool:
    """Whether the unique index on (webinar, lower(email)) exists: a table that was rebuilt may have lost it."""
    return any(map(_ONE_ADDRESS.search, dialect(conn).index_definitions(conn, "registrants")))


def _why_unreadable(types: Mapping[str, str]) -> str:
    if not types:
        return "there is no table registrants"
    for column, (meant, allowed) in _NEEDED.items():
        if column not in types:
            return f"registrants has no column {column}"
        if types[column] and types[column] not in allowed:
            return f"column {column} of registrants is of type {types[column]}, not {meant}"
    return ""


@contextmanager
def _readable() -> Iterator[None]:
    """Turn errors into RegistrantsUnreadable: the table may change at any time, and its owner may deny access."""
    try:
        yield
    except ProgrammingError as error:
        raise RegistrantsUnreadable(f"registrants cannot be read ({fault(error)})") from None


def _tidy(value: str) -> str:
    if len(value) > MAX_LENGTH:  # not stripped, or it would look shorter than it is
        return value
    return value.strip().replace("\0", "\ufffd")  # SQLite ends JSON text at a NUL


def why_unusable(row: Row, webinars: Collection[str]) -> str:
    """Why this row can't be used, or '' if it can. The reason never quotes a registrant's values."""
    if row.webinar not in webinars:
        return UNKNOWN_WEBINAR
    if sum(map(len, row[2:])) > MAX_SHORT and (reason := _why_too_long(row)):
        return reason
    return why_no_address(row.email) or why_no_link(row.join_url)


def _why_too_long(row: Row) -> str:
    if max(len(row.email), len(row.name), len(row.join_url)) > MAX_LENGTH:
        return f"a value is longer than {MAX_LENGTH} characters"
    for name in _SHORT:
        if len(getattr(row, name)) > MAX_SHORT:
            return f"{name} is longer than {MAX_SHORT} characters"
    return ""


def why_no_link(join_url: str) -> str:
    """Why this can't be a person's own join link, or '' if it can. An empty link is sound."""
    if not join_url or _ORDINARY_LINK.fullmatch(join_url):
        return ""
    try:
        parts = urlsplit(join_url)
        sound = parts.scheme == "https" and parts.hostname and not re.search(r"[\s\"<>\\^`{|}]", join_url)
    except ValueError:
        sound = False
    if not sound or _CONTROL.search(join_url) or not join_url.isascii():
        return "join_url is not an https link"
    if parts.username is not None:  # it hides where the link leads, or comes with a password
        return "join_url holds a user name or password"
    return ""
