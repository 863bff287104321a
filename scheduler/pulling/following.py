"""Makes `registrants` follow a source: people who are new, changed or gone.

Table `source_row` stores a digest of each person's address and a digest of their values. So a source of any size is
compared as sets, and only differences are written, in short transactions.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import IO, Any, NamedTuple

from sqlalchemy import Connection

from scheduler.database.chunk import Chunk
from scheduler.database.engine import Database, as_list, dialect, execute
from scheduler.input.addresses import fold, why_no_address
from scheduler.registrants.files.judging import Import, Judgement, judged
from scheduler.registrants.files.reading import FileRow, RegistrantFile
from scheduler.registrants.files.records import Lines
from scheduler.registrants.forgotten import stay_forgotten
from scheduler.registrants.rows import Person, Registrants, Row
from scheduler.registrants.sources import Run, digest_of, lock_run

VALUES = ("name", "language", "timezone", "country", "join_url")
_AT_ONCE = 1000  # people, in a transaction that only reads
_PARTS_OF_NAMES = {"first_name", "middle_name", "last_name"}
_REASONS = {"unknown status": "the status is not known", "another name": "one address has several names"}


class Known(NamedTuple):
    """A person's `source_row`."""

    said: str
    filled: int
    registrant_id: int
    inserted: bool
    there: bool
    """Whether their row of `registrants` still exists."""


def known_people(conn: Connection, webinar: str) -> dict[str, Known]:
    """The people of a webinar's source, by the digest of their address."""
    rows = execute(
        conn,
        "SELECT s.person, s.said, s.filled, s.registrant_id, s.inserted, r.id IS NOT NULL AS there FROM source_row s"
        " LEFT JOIN registrants r ON r.id = s.registrant_id WHERE s.webinar = :webinar",
        webinar=webinar,
    )
    return {
        row.person: Known(row.said, row.filled, row.registrant_id, bool(row.inserted), bool(row.there))
        for row in rows
    }


@dataclass(frozen=True)
class Item:
    """A person who is new in the source or has changed."""

    person: str
    folded: str
    said: str
    filled: int
    values: Mapping[str, str]
    registered_at: str = ""
    registrant_id: int | None = None
    inserted: bool = True


class Last(NamedTuple):
    """The source's last row, if its person is new or changed."""

    person: str
    folded: str
    values: Mapping[str, str]


@dataclass
class Difference:
    """The difference between a source and its `source_row`s."""

    known: int
    people: int = 0
    new: int = 0
    changed: int = 0
    emptied: int = 0
    """People who lost a value that the source had before."""
    left_out: int = 0
    """Rows of people who do not attend, by their status."""
    nobodys: int = 0
    """Rows without a valid address, so that their person is unknown."""
    errors: Lines = field(default_factory=Lines)
    reasons: dict[str, int] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    """The columns it has, of `VALUES` and `registered_at`."""
    last: Last | None = None


class Comparison:
    """Compares one read of a source. New and changed people are kept on disk."""

    def __init__(self, salt: str, webinar: str, known: Mapping[str, Known]) -> None:
        self._salt, self._webinar, self._known = salt, webinar, known
        self._others: dict[str, set[str]] = {}  # digests of people's other rows, which do not count
        self._items: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
        self.found = Difference(len(known))

    def close(self) -> None:
        self._items.close()

    def go_through(
        self, file: RegistrantFile, asked: Import, each: Callable[[Judgement], None] = lambda judgement: None
    ) -> None:
        """Compare every row of this webinar. `each` is called for each row."""
        found, here = self.found, set[str]()
        found.columns = _columns(file)
        with closing(judged(partial(self._rows, file), asked)) as judgements:
            for judgement in judgements:
                each(judgement)
                row, found.last = judgement.row, None
                folded = fold(row.values.get("email", ""))
                person = digest_of(self._salt, folded)
                if judgement.kind == "counts":
                    here.add(person)
                    self._compare(person, folded, row)
                    continue
                if judgement.kind in ("repeated", "another name"):
                    self._others.setdefault(person, set()).add(self._said(row))
                if judgement.kind == "status":
                    found.left_out += 1
                elif judgement.kind != "repeated":
                    here.add(person)  # a row with an error removes nobody
                    found.errors.add(row.line)
                    reason = judgement.reason if judgement.kind == "error" else _REASONS[judgement.kind]
                    found.reasons[reason] = found.reasons.get(reason, 0) + 1
                    found.nobodys += person not in self._known and bool(why_no_address(folded))
        found.gone = frozenset(self._known.keys() - here)

    def _rows(self, file: RegistrantFile) -> Generator[FileRow]:
        """The rows that do not name another webinar."""
        with closing(file.rows()) as rows:
            for row in rows:
                if row.values.get("webinar", self._webinar) == self._webinar:
                    yield row

    def _compare(self, person: str, folded: str, row: FileRow) -> None:
        found, before = self.found, self._known.get(person)
        found.people += 1
        registered, values, said = _registered(row), _values_of(row), self._said(row)
        if others := self._others.pop(person, set()) - {said}:
            # A database returns rows in any order: the same rows are no change, whichever is the last.
            said = digest_of(self._salt, json.dumps(sorted({said, *others})))
        filled = sum(1 << bit for bit, name in enumerate(VALUES) if name in values)
        if before and before.there and before.said == said:
            return
        item: dict[str, Any] = {"person": person, "folded": folded, "said": said, "filled": filled}
        if before and before.there:
            found.changed += 1
            read = sum(1 << bit for bit, name in enumerate(VALUES) if name in found.columns)
            found.emptied += bool(before.filled & read & ~filled)
            item |= {"registrant_id": before.registrant_id, "inserted": before.inserted}
        else:
            found.new += 1
        item |= {"values": values | {"email": row.values["email"]}, "registered_at": registered}
        found.last = Last(person, folded, values)
        self._items.write(json.dumps(item) + "\n")

    def _said(self, row: FileRow) -> str:
        words = [sorted(self.found.columns), sorted(_values_of(row).items()), _registered(row)]
        return digest_of(self._salt, json.dumps(words))

    def leave_out_forgotten(self, database: Database, now: datetime) -> None:
        """Subtract forgotten people from the new ones."""
        with closing(self.items(new=True, changed=False)) as items, database.reading() as conn:
            while piece := list(islice(items, _AT_ONCE)):
                said = {(self._webinar, one.folded): one.registered_at for one in piece}
                self.found.new -= len(stay_forgotten(conn, now, said))

    def items(self, *, new: bool, changed: bool) -> Generator[Item]:
        """The people who are new, changed, or both kinds."""
        self._items.seek(0)
        for line in self._items:
            item = Item(**json.loads(line))
            if new if item.registrant_id is None else changed:
                yield item


def last_is_cut(conn: Connection, known: Mapping[str, Known], found: Difference) -> bool:
    """Whether the last row is the beginning of the known row of a person who is missing or changed."""
    if (last := found.last) is None:
        return False
    people = {last.person} if last.person in known else found.gone
    ids = [one.registrant_id for person in people if (one := known[person]).there]
    with dialect(conn).by_index(conn):
        rows = Registrants(conn).read(ids)
    if last.person not in known:
        return any(fold(row.email).startswith(last.folded) for row in rows)
    said = [
        (last.values.get(name, ""), getattr(row, name))
        for row in rows
        for name in VALUES
        if name in found.columns
    ]
    return any(now != before and before.startswith(now) for now, before in said)


def _values_of(row: FileRow) -> dict[str, str]:
    return {name: value for name in VALUES if (value := row.values.get(name, ""))}


def _registered(row: FileRow) -> str:
    return row.registered_at.astimezone(UTC).isoformat() if row.registered_at else ""


def _columns(file: RegistrantFile) -> frozenset[str]:
    read = {column.read_as for column in file.columns}
    named = {"name"} if read & _PARTS_OF_NAMES else set[str]()
    return frozenset((read | named) & {*VALUES, "registered_at"})


@dataclass
class Done:
    """The number of rows written, and of people passed over."""

    new: int = 0
    updated: int = 0
    gone: int = 0
    others: int = 0
    """People who are new in the source, but already in `registrants` from elsewhere."""
    refused: int = 0
    """People whose address the database takes for that of another row."""
    forgotten: int = 0
    """People who were forgotten: nothing is stored about them."""


def write_people(
    database: Database, run_: Run, items: Generator[Item], columns: frozenset[str], done: Done
) -> None:
    """Insert and update people in short transactions. Raises Overtaken, RegistrantsUnreadable."""
    with database.reading() as conn:
        odd = Registrants(conn).odd(run_.webinar)
    with closing(items):
        _in_pieces(
            database,
            lambda most: list(islice(items, most)),
            lambda conn, piece: _write_people(conn, run_, piece, columns, odd),
            done,
        )


def remove_people(database: Database, run_: Run, gone: Mapping[str, Known], done: Done) -> None:
    """Delete the rows of people who are gone, if the source inserted them. Raises Overtaken, RegistrantsUnreadable."""
    left = iter(sorted(gone.items()))
    _in_pieces(
        database,
        lambda most: list(islice(left, most)),
        lambda conn, piece: _remove_people(conn, run_, dict(piece)),
        done,
    )


def _in_pieces(
    database: Database,
    next_piece: Callable[[int], list[Any]],
    write: Callable[[Connection, list[Any]], Done],
    done: Done,
) -> None:
    chunk = Chunk(others_wait=True)
    while piece := next_piece(chunk.rows):
        began = time.monotonic()
        part = database.in_transaction(lambda conn, piece=piece: write(conn, piece))  # type: ignore[misc]
        chunk.record(len(piece), time.monotonic() - began)
        for name in vars(part):
            setattr(done, name, getattr(done, name) + getattr(part, name))
        time.sleep(chunk.pause)


def _write_people(
    conn: Connection, run_: Run, items: Sequence[Item], columns: frozenset[str], odd: Mapping[Person, int]
) -> Done:
    lock_run(conn, run_)
    registrants, done = Registrants(conn), Done()
    items = _not_forgotten(conn, run_, items, done)
    ids = {item.person: item.registrant_id for item in items if item.registrant_id is not None}
    new = {item.folded: item for item in items if item.registrant_id is None}
    others = _there(conn, registrants, run_.webinar, new, odd)
    inserted = _insert(
        conn, registrants, run_.webinar, [one for one in new.values() if one.folded not in others]
    )
    done.new = len(inserted)
    if missing := {folded: one for folded, one in new.items() if folded not in {**others, **inserted}}:
        others |= _there(conn, registrants, run_.webinar, missing, {})  # written concurrently
    done.others = len(others)
    ids |= {new[folded].person: number for folded, number in {**inserted, **others}.items()}
    done.refused = len(items) - len(ids)
    wanted = [
        (ids[item.person], item, item.inserted and item.folded not in others)
        for item in items
        if item.person in ids and item.folded not in inserted
    ]
    done.updated = _update(conn, registrants, wanted, columns)
    ours = {item.person: item.inserted and item.folded not in others for item in items}
    _note(
        conn,
        run_.webinar,
        [(item, ids[item.person], ours[item.person]) for item in items if item.person in ids],
    )
    return done


def _not_forgotten(conn: Connection, run_: Run, items: Sequence[Item], done: Done) -> list[Item]:
    """The items without forgotten people, including those forgotten since the pull began."""
    said = {(run_.webinar, one.folded): one.registered_at for one in items}
    forgotten = stay_forgotten(conn, run_.began_at, said)
    done.forgotten = len(forgotten)
    return [one for one in items if (run_.webinar, one.folded) not in forgotten]


def _there(
    conn: Connection,
    registrants: Registrants,
    webinar: str,
    people: Mapping[str, Item],
    odd: Mapping[Person, int],
) -> dict[str, int]:
    """The ids of existing rows of these people, by folded address."""
    with dialect(conn).by_index(conn):
        found = registrants.find([(webinar, one.values["email"]) for one in people.values()])
    known = {folded: odd[webinar, folded] for folded in people if (webinar, folded) in odd}
    return known | {folded: number for (_, folded), number in found.items() if folded in people}


def _insert(
    conn: Connection, registrants: Registrants, webinar: str, people: Sequence[Item]
) -> dict[str, int]:
    """Insert people. Returns the ids of the new rows, by folded address."""
    if not people:
        return {}
    rows = [_values(conn, webinar, one) for one in people]
    return {fold(row.email): row.id for row in registrants.insert(rows, "id, email")}


def _values(conn: Connection, webinar: str, item: Item) -> dict[str, str]:
    registered = item.registered_at and dialect(conn).written(datetime.fromisoformat(item.registered_at))
    return {**item.values, "webinar": webinar} | ({"registered_at": registered} if registered else {})


def _update(
    conn: Connection,
    registrants: Registrants,
    people: Sequence[tuple[int, Item, bool]],
    columns: frozenset[str],
) -> int:
    """Update the rows that differ. A value missing in the source is removed from a row that the source inserted, and
    kept in other rows. A column that the source does not have is not changed."""
    names = [name for name in VALUES if name in columns & registrants.columns]
    if dated := "registered_at" in columns & registrants.columns:
        said = registrants.registered_at([number for number, _, _ in people])
    engine = dialect(conn)
    with engine.by_index(conn):
        there = {row.id: row for row in registrants.read(number for number, _, _ in people)}
    changes = []
    for number, item, exact in people:
        if (row := there.get(number)) is None:
            continue
        cells = [item.values.get(name) for name in names]
        at = _values(conn, "", item).get("registered_at") if dated else None
        if _differs(row, names, cells, exact=exact) or (at and not _same_instant(at, said.get(number, ""))):
            changes.append([number, int(exact), *cells, *([at] if dated else [])])
    if changes:
        kinds = {"id": "bigint", "exact": "int", **dict.fromkeys(names, "text")}
        kinds |= {"registered_at": "timestamptz"} if dated else {}
        written = [
            f"{name} = CASE WHEN p.exact = 1 THEN p.{name} ELSE coalesce(p.{name}, registrants.{name}) END"
            for name in names
        ]
        written += ["registered_at = coalesce(p.registered_at, registrants.registered_at)"] if dated else []
        with engine.by_index(conn):
            execute(
                conn,
                f"UPDATE registrants SET {', '.join(written)} FROM {engine.rows('people', kinds)} AS p"
                f" WHERE {engine.equal('registrants.id', 'p.id')}",
                people=json.dumps(sorted(changes)),
            )
    return len(changes)


def _differs(row: Row, names: Sequence[str], cells: Sequence[str | None], *, exact: bool) -> bool:
    pairs = ((cell or "", getattr(row, name)) for name, cell in zip(names, cells, strict=True))
    return any(said != stands and (exact or said) for said, stands in pairs)


def _same_instant(one: str, other: str) -> bool:
    try:
        first, second = (datetime.fromisoformat(text) for text in (one, other))
    except ValueError:
        return False
    return first.replace(tzinfo=first.tzinfo or UTC) == second.replace(tzinfo=second.tzinfo or UTC)


def _note(conn: Connection, webinar: str, people: Sequence[tuple[Item, int, bool]]) -> None:
    kinds = {"person": "text", "said": "text", "filled": "int", "registrant_id": "bigint", "inserted": "int"}
    names = ", ".join(kinds)
    cells = "person, said, filled, registrant_id, inserted = 1"
    execute(
        conn,
        f"INSERT INTO source_row (webinar, {names}) SELECT :webinar, {cells}"
        f" FROM {dialect(conn).rows('people', kinds)} AS p WHERE TRUE"
        " ON CONFLICT (webinar, person) DO UPDATE SET said = excluded.said, filled = excluded.filled,"
        " registrant_id = excluded.registrant_id, inserted = excluded.inserted AND"
        # Others may have named them since the pull began.
        " (source_row.inserted OR source_row.registrant_id <> excluded.registrant_id)",
        webinar=webinar,
        people=json.dumps(
            [[one.person, one.said, one.filled, number, int(ours)] for one, number, ours in people]
        ),
    )


def _remove_people(conn: Connection, run_: Run, gone: Mapping[str, Known]) -> Done:
    lock_run(conn, run_)
    registrants, engine = Registrants(conn), dialect(conn)
    given = engine.rows("people", {"person": "text"})
    among = f"webinar = :webinar AND person IN (SELECT person FROM {given} AS p)"
    those = {"webinar": run_.webinar, "people": json.dumps([[person] for person in sorted(gone)])}
    ours = set(execute(conn, f"SELECT person FROM source_row WHERE inserted AND {among}", **those).scalars())
    by_row = {one.registrant_id: person for person, one in gone.items() if person in ours and one.there}
    with engine.by_index(conn):
        there = registrants.people(by_row)
        # A row whose address was changed to another person's is kept.
        ids = [
            number
            for number, (webinar, email) in there.items()
            if webinar == run_.webinar and digest_of(run_.salt, fold(email)) == by_row[number]
        ]
        execute(
            conn, f"DELETE FROM registrants WHERE {engine.among('id', 'ids')}", ids=as_list(conn, sorted(ids))
        )
    execute(conn, f"DELETE FROM source_row WHERE {among}", **those)
    return Done(gone=len(ids))
