"""People who register with us, by the form or the API: rows of `signup`, which nobody else writes.

A row counts once its address does and it has a place. It is then absorbed like a row of `registrants`, with an id below
`rows.HERE`. All functions work in the caller's transaction. Those that add people wait for each other, so that no place
is given away twice, and for `ledger.forgetting`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from scheduler.database.engine import as_list, dialect, execute
from scheduler.database.models import Instant
from scheduler.input.addresses import fold
from scheduler.registrants.again import note_changes
from scheduler.registrants.forgotten import not_forgotten, registered_again
from scheduler.registrants.rows import HERE
from scheduler.webinar.model import Webinar
from scheduler.webinar.questions import Answers

CONFIRMED_WITHIN = timedelta(hours=24)
"""How long an address may wait to be confirmed."""


class State(StrEnum):
    """The state of a row of `signup`."""

    UNCONFIRMED = "unconfirmed"
    """Nobody has shown yet that the address is theirs."""
    WAITING = "waiting"
    """All places are taken."""
    REGISTERED = "registered"


@dataclass(frozen=True)
class Details:
    """What a person, or a system in their name, says when they register. The values are sound."""

    address: str
    name: str = ""
    language: str = ""
    timezone: str = ""
    country: str = ""
    organization: str = ""
    join_url: str = ""
    answers: Answers = field(default_factory=dict)
    consent: str = ""

    @property
    def folded(self) -> str:
        return fold(self.address)


@dataclass(frozen=True)
class Outcome:
    """The result of registering one person.

    `new`: the row is. `changed`: its values differ from what they were. `begun`: it has this state from now on.
    """

    id: int
    state: State
    new: bool = False
    changed: bool = False
    begun: bool = False


class Forgotten(Exception):
    """These folded addresses were forgotten, and nothing shows that they registered again."""

    def __init__(self, addresses: Collection[str]) -> None:
        super().__init__("forgotten, and nothing shows that they registered again")
        self.addresses = frozenset(addresses)


def register(
    conn: Connection,
    now: datetime,
    webinar: Webinar,
    people: Sequence[Details],
    source: str,
    *,
    confirmed: bool = True,
    overwrite: bool = True,
    again: Collection[str] = (),
) -> list[Outcome]:
    """Register these people, of whom no two have the same address, and return what became of each.

    `confirmed`: the addresses count already; else new rows stay UNCONFIRMED until `confirm`. `overwrite`: whoever is
    registered or waits gets the new values; else their row stays as it is, since the request proves nothing about its
    sender. `again`: folded addresses of people who registered again, so that those who were forgotten come back. Raises
    Forgotten, and changes nothing, for others who were forgotten.
    """
    lock(conn)
    if confirmed:
        _bring_back(conn, now, webinar.id, {one.folded for one in people}, again)
    stored = _stored(conn, webinar.id, [one.folded for one in people])
    new = [one for one in people if one.folded not in stored]
    begin = [
        one for one in people if one.folded not in stored or stored[one.folded].state == State.UNCONFIRMED
    ]
    states = (
        _states(conn, now, webinar, begin) if confirmed else dict.fromkeys(_folded(new), State.UNCONFIRMED)
    )
    ids = _insert(conn, now, webinar.id, new, states, source)
    edited = {
        one.folded: one
        for one in people
        if (row := stored.get(one.folded)) is not None
        and (overwrite or row.state == State.UNCONFIRMED)
        and _values(one) != _values_of(row)
    }
    _update(conn, now, {stored[folded].id: one for folded, one in edited.items()})
    for state in State:
        count = [stored[one].id for one in states if one in stored and states[one] is state]
        _set_state(conn, now, count, state)

    def outcome(folded: str) -> Outcome:
        if folded in ids:
            return Outcome(ids[folded], states[folded], new=True, changed=True, begun=True)
        row = stored[folded]
        if folded in states:
            return Outcome(row.id, states[folded], changed=True, begun=True)
        return Outcome(row.id, State(row.state), changed=folded in edited)

    outcomes = [outcome(one.folded) for one in people]
    changed = [one.id for one in outcomes if one.changed and one.state is State.REGISTERED]
    _note(conn, webinar.id, changed)
    return outcomes


def confirm(conn: Connection, now: datetime, webinar: Webinar, number: int) -> Outcome | None:
    """Let an unconfirmed row count, or wait for a place. Idempotent. None if there is no such row (any more)."""
    lock(conn)
    row = execute(
        conn, "SELECT * FROM signup WHERE id = :id AND webinar = :webinar", id=number, webinar=webinar.id
    ).first()
    if row is None:
        return None
    if row.state != State.UNCONFIRMED:
        return Outcome(row.id, State(row.state))
    registered_again(conn, now, [(webinar.id, row.address_folded)])  # nobody else could confirm it
    state = _states(conn, now, webinar, [Details(row.address)])[row.address_folded]
    _set_state(conn, now, [row.id], state)
    if state is State.REGISTERED:
        _note(conn, webinar.id, [row.id])
    return Outcome(row.id, state, changed=True, begun=True)


def remove(conn: Connection, webinar: str, address: str) -> bool:
    """Remove a person from those who registered with us. Returns whether they were there."""
    row = execute(
        conn,
        "DELETE FROM signup WHERE webinar = :webinar AND address_folded = :folded RETURNING id, state",
        webinar=webinar,
        folded=fold(address),
    ).first()
    if row is not None and row.state == State.REGISTERED:
        note_changes(conn, [HERE - row.id], "D", webinar)
    return row is not None


def remove_address(conn: Connection, folded: str) -> list[str]:
    """Remove all rows with this address, in whatever state. Returns their webinars. Their registrations go with them
    where somebody is forgotten, so no change is noted."""
    rows = execute(conn, "DELETE FROM signup WHERE address_folded = :folded RETURNING webinar", folded=folded)
    return list(rows.scalars())


def has_unconfirmed(conn: Connection, before: datetime) -> bool:
    """Whether there are rows whose address was not confirmed in time. One look by index."""
    query = "SELECT EXISTS (SELECT 1 FROM signup WHERE state = 'unconfirmed' AND updated_at < :before)"
    return bool(execute(conn, query, before=before).scalar())


def drop_unconfirmed(conn: Connection, before: datetime) -> None:
    """Remove rows whose address was not confirmed in time. One look by index if there are none."""
    execute(conn, "DELETE FROM signup WHERE state = 'unconfirmed' AND updated_at < :before", before=before)


# Places


def waiting_for(conn: Connection) -> list[str]:
    """The webinars in which somebody waits for a place. One look by index if nobody does."""
    query = "SELECT DISTINCT webinar FROM signup WHERE state = 'waiting' ORDER BY webinar"
    return list(execute(conn, query).scalars())


def waiting(conn: Connection, webinar: str, most: int) -> list[int]:
    """The rows of up to `most` people who wait for a place."""
    query = "SELECT id FROM signup WHERE webinar = :webinar AND state = 'waiting' ORDER BY id LIMIT :most"
    return list(execute(conn, query, webinar=webinar, most=most).scalars())


def state_of(conn: Connection, number: int, folded: str) -> State | None:
    """The state of the row with this number and address; None if it is gone."""
    query = "SELECT state FROM signup WHERE id = :id AND address_folded = :folded"
    state = execute(conn, query, id=number, folded=folded).scalar()
    return None if state is None else State(state)


def stop_waiting(conn: Connection, numbers: Collection[int]) -> None:
    """Remove these rows if they still wait for a place."""
    execute(
        conn,
        f"DELETE FROM signup WHERE state = 'waiting' AND {dialect(conn).among('id', 'ids')}",
        ids=as_list(conn, numbers),
    )


def is_full(conn: Connection, webinar: Webinar) -> bool:
    """Whether all places are taken."""
    return _free_places(conn, webinar) == 0


def promote(conn: Connection, now: datetime, webinar: Webinar) -> int:
    """Give the places that are free to those who have waited longest, unless the webinar is over or cancelled. Returns
    their number."""
    if webinar.cancelled or webinar.end <= now:
        return 0
    lock(conn)
    return _promote(conn, now, webinar, _free_places(conn, webinar))


def _promote(conn: Connection, now: datetime, webinar: Webinar, free: int | None) -> int:
    if free == 0:
        return 0
    waiting = "SELECT id FROM signup WHERE webinar = :webinar AND state = 'waiting' ORDER BY id"
    most = {} if free is None else {"most": free}
    ids = list(
        execute(conn, f"{waiting} LIMIT :most" if most else waiting, webinar=webinar.id, **most).scalars()
    )
    _set_state(conn, now, ids, State.REGISTERED)
    _note(conn, webinar.id, ids)
    return len(ids)


def _states(conn: Connection, now: datetime, webinar: Webinar, people: Iterable[Details]) -> dict[str, State]:
    """The states of these people, whose addresses count, by folded address. Whoever has waited longer comes first;
    whoever stands in `registrants` has a place already."""
    addresses = _folded(people)
    free = _free_places(conn, webinar) if addresses else None
    if free is None:
        return dict.fromkeys(addresses, State.REGISTERED)
    free -= _promote(conn, now, webinar, free)
    placed = _registered_elsewhere(conn, webinar.id, addresses)
    states = dict.fromkeys(placed, State.REGISTERED)
    for number, folded in enumerate(one for one in addresses if one not in placed):
        states[folded] = State.REGISTERED if number < free else State.WAITING
    return states


def lock(conn: Connection) -> None:
    """Let nobody else add people, or give away places, until the end of the transaction."""
    dialect(conn).wait_to_plan(conn, "signups")


def _free_places(conn: Connection, webinar: Webinar) -> int | None:
    """The number of places that nobody has; None if there is no limit. Whoever withdrew has left theirs."""
    if webinar.capacity is None:
        return None
    return max(0, webinar.capacity - _taken_places(conn, webinar.id))


def _taken_places(conn: Connection, webinar: str) -> int:
    return int(execute(conn, _TAKEN, webinar=webinar).scalar_one())


_COMES = (
    "NOT EXISTS (SELECT 1 FROM choice c WHERE c.webinar = {0}.webinar AND c.address_folded = {0}.address_folded"
    " AND c.withdrawn_at IS NOT NULL)"
)
_TAKEN = (
    "SELECT (SELECT count(*) FROM signup s WHERE s.webinar = :webinar AND s.state = 'registered'"
    f" AND {_COMES.format('s')}) + (SELECT count(*) FROM registration r WHERE r.webinar = :webinar"
    f" AND r.registrant_id > {HERE} AND r.gone_at IS NULL AND {_COMES.format('r')}"
    " AND NOT EXISTS (SELECT 1 FROM signup s WHERE s.webinar = r.webinar AND s.address_folded = r.address_folded"
    " AND s.state = 'registered'))"
)


def _registered_elsewhere(conn: Connection, webinar: str, addresses: Collection[str]) -> set[str]:
    """Who of these stands in `registrants`, too."""
    found = execute(
        conn,
        f"SELECT r.address_folded FROM {dialect(conn).rows('people', {'folded': 'text'})} AS p"
        f" {dialect(conn).join_next} registration r ON {dialect(conn).equal('r.address_folded', 'p.folded')}"
        f" AND r.webinar || '' = :webinar WHERE r.registrant_id > {HERE} AND r.gone_at IS NULL",
        people=json.dumps([[one] for one in addresses]),
        webinar=webinar,
    )
    return set(found.scalars())


class Places(NamedTuple):
    """The places of a webinar with a limit."""

    taken: int
    of: int
    waiting: int


def places(conn: Connection, webinar: Webinar) -> Places | None:
    """How many places are taken, and how many people wait for one; None if there is no limit."""
    if webinar.capacity is None:
        return None
    query = "SELECT count(*) FROM signup WHERE webinar = :webinar AND state = 'waiting'"
    waiting = execute(conn, query, webinar=webinar.id).scalar_one()
    return Places(_taken_places(conn, webinar.id), webinar.capacity, int(waiting))


# Rows


class Pending(NamedTuple):
    """A person who registered with us and is no registration yet."""

    webinar: str
    state: str
    since: datetime


def pending(conn: Connection, folded: str) -> list[Pending]:
    """The webinars for which this address is not confirmed, or waits for a place."""
    query = text(
        "SELECT webinar, state, updated_at AS since FROM signup WHERE address_folded = :folded"
        " AND state <> 'registered' ORDER BY webinar"
    ).columns(since=Instant())
    return [Pending(*row) for row in conn.execute(query, {"folded": folded})]


def details_of(conn: Connection, number: int) -> Details:
    """What is known of the person of an existing row."""
    row = execute(conn, f"SELECT {', '.join(_COLUMNS)} FROM signup WHERE id = :id", id=number).one()
    return Details(**row._asdict() | {"answers": json.loads(row.answers)})


_COLUMNS = (
    "address",
    "name",
    "language",
    "timezone",
    "country",
    "organization",
    "join_url",
    "answers",
    "consent",
)


def _folded(people: Iterable[Details]) -> list[str]:
    return [one.folded for one in people]


def _values(one: Details) -> list[str]:
    stored = {"answers": json.dumps(one.answers, ensure_ascii=False, sort_keys=True)}
    return [stored.get(name) or getattr(one, name) for name in _COLUMNS]


def _values_of(row: Row[Any]) -> list[str]:
    return [getattr(row, name) for name in _COLUMNS]


def _bring_back(
    conn: Connection, now: datetime, webinar: str, folded: Collection[str], again: Collection[str]
) -> None:
    registered_again(conn, now, [(webinar, one) for one in folded if one in again])
    known = {one for _, one in not_forgotten(conn, [(webinar, one) for one in folded])}
    if unknown := set(folded) - known:
        raise Forgotten(unknown)


def _stored(conn: Connection, webinar: str, folded: Sequence[str]) -> Mapping[str, Row[Any]]:
    engine = dialect(conn)
    found = execute(
        conn,
        f"SELECT s.* FROM {engine.rows('people', {'folded': 'text'})} AS p {engine.join_next} signup s"
        f" ON {engine.equal('s.address_folded', 'p.folded')} AND s.webinar || '' = :webinar",
        people=json.dumps([[one] for one in folded]),
        webinar=webinar,
    )
    return {row.address_folded: row for row in found}


def _insert(
    conn: Connection,
    now: datetime,
    webinar: str,
    people: Sequence[Details],
    states: Mapping[str, State],
    source: str,
) -> dict[str, int]:
    """Insert these people. Returns their ids by folded address."""
    if not people:
        return {}
    names = ", ".join(_COLUMNS)
    columns = dict.fromkeys((*_COLUMNS, "address_folded", "state"), "text")
    made = execute(
        conn,
        f"INSERT INTO signup (webinar, {names}, address_folded, state, source, created_at, updated_at)"
        f" SELECT :webinar, {names}, address_folded, state, :source, :now, :now"
        f" FROM {dialect(conn).rows('people', columns)} AS people RETURNING id, address_folded",
        people=json.dumps([[*_values(one), one.folded, states[one.folded]] for one in people]),
        webinar=webinar,
        source=source,
        now=now,
    )
    return {row.address_folded: row.id for row in made}


def _update(conn: Connection, now: datetime, people: Mapping[int, Details]) -> None:
    if people:
        columns = {"id": "bigint"} | dict.fromkeys(_COLUMNS, "text")
        execute(
            conn,
            f"UPDATE signup SET {', '.join(f'{name} = p.{name}' for name in _COLUMNS)}, updated_at = :now"
            f" FROM {dialect(conn).rows('people', columns)} AS p"
            f" WHERE {dialect(conn).equal('signup.id', 'p.id')}",
            people=json.dumps([[number, *_values(one)] for number, one in people.items()]),
            now=now,
        )


def _set_state(conn: Connection, now: datetime, ids: Collection[int], state: State) -> None:
    if ids:
        execute(
            conn,
            f"UPDATE signup SET state = :state, updated_at = :now WHERE {dialect(conn).among('id', 'ids')}",
            state=state.value,
            ids=as_list(conn, ids),
            now=now,
        )


def _note(conn: Connection, webinar: str, ids: Iterable[int]) -> None:
    """Have these rows absorbed."""
    note_changes(conn, [HERE - number for number in ids], "U", webinar)
