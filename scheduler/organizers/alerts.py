"""What is wrong and must be mended by a person: told once when it begins, once when it is right again."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, select, update

from scheduler.database.engine import run
from scheduler.database.models import Alert

NOTICE = "notice "
"""Begins the keys of what is not wrong, but will be sent to people unless somebody stops it."""


class Wrong(NamedTuple):
    """One thing that is wrong, and who must know."""

    key: str  # "text reminder-day/fr", "webinar file x.toml", "relay"
    alert_to: str


@dataclass(frozen=True)
class Telling:
    """One mail to an organizer that is still to be sent."""

    key: str
    alert_to: str
    words: str
    right_again: bool


@dataclass(frozen=True)
class Standing:
    """What is wrong since when, and when organizers were told (None: not all of them yet). UTC."""

    key: str
    words: str
    raised_at: datetime
    told_at: datetime | None


def note(
    conn: Connection,
    now: datetime,
    wrong: Mapping[Wrong, str],
    prefix: str,
    *,
    once: bool = False,
    undecided: Container[str] = (),
) -> None:
    """Bring the alerts whose key begins with `prefix` to what is wrong now, with the words for each. `once`: nobody
    needs to know when it is over. `undecided`: keys of which nothing is known now; their alerts stand."""
    table = Alert.__table__  # type: ignore[attr-defined]
    known = {
        Wrong(row.key, row.alert_to): row
        for row in conn.execute(select(table).where(table.c.key.startswith(prefix, autoescape=True)))
    }
    for one, words in wrong.items():
        here = (table.c.key == one.key) & (table.c.alert_to == one.alert_to)
        if one not in known:
            _raise(conn, one, words, now)
        elif known[one].cleared_at is not None or known[one].told_at is None:
            # Wrong again before "right again" was told, or not told yet: these words are the newer ones.
            conn.execute(update(table).where(here).values(cleared_at=None, words=words))
    for one in known.keys() - wrong.keys():
        if one.key in undecided:
            continue
        here = (table.c.key == one.key) & (table.c.alert_to == one.alert_to)
        if once or known[one].told_at is None:  # over before anybody was told
            conn.execute(delete(table).where(here))
        elif known[one].cleared_at is None:
            conn.execute(update(table).where(here).values(cleared_at=now))


def standing(conn: Connection) -> list[Standing]:
    """What is wrong now, by key."""
    table = Alert.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table).where(table.c.cleared_at.is_(None)).order_by(table.c.key))
    return [_standing(key, list(same)) for key, same in groupby(rows, key=lambda row: str(row.key))]


def _standing(key: str, rows: list[Row[Any]]) -> Standing:
    """One alert, whoever it concerns."""
    told = [row.told_at for row in rows]
    raised_at = min(row.raised_at for row in rows)
    return Standing(key, rows[0].words, raised_at, None if None in told else max(told))


def to_tell(conn: Connection) -> list[Telling]:
    """The mails that organizers have still to get."""
    table = Alert.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table).where(table.c.told_at.is_(None) | table.c.cleared_at.is_not(None)))
    return [Telling(row.key, row.alert_to, row.words, row.cleared_at is not None) for row in rows]


def take(conn: Connection, now: datetime, telling: Telling) -> bool:
    """Take this mail upon oneself, before it is sent: another replica doesn't. False: one did already."""
    table = Alert.__table__  # type: ignore[attr-defined]
    here = (table.c.key == telling.key) & (table.c.alert_to == telling.alert_to)
    if telling.right_again:
        return conn.execute(delete(table).where(here & table.c.cleared_at.is_not(None))).rowcount == 1
    untold = here & table.c.told_at.is_(None)
    return conn.execute(update(table).where(untold).values(told_at=now)).rowcount == 1


def give_back(conn: Connection, now: datetime, telling: Telling) -> None:
    """The relay did not take this mail: it is still to be sent."""
    table = Alert.__table__  # type: ignore[attr-defined]
    here = (table.c.key == telling.key) & (table.c.alert_to == telling.alert_to)
    if telling.right_again:
        _raise(conn, Wrong(telling.key, telling.alert_to), telling.words, now, told_at=now, cleared_at=now)
        return
    conn.execute(delete(table).where(here & table.c.cleared_at.is_not(None)))  # over before anybody was told
    conn.execute(update(table).where(here).values(told_at=None))


def _raise(conn: Connection, one: Wrong, words: str, now: datetime, **values: datetime) -> None:
    """Another replica may have done so at this moment."""
    columns = {"key": one.key, "alert_to": one.alert_to, "words": words, "raised_at": now} | values
    names, binds = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    run(conn, f"INSERT INTO alert ({names}) VALUES ({binds}) ON CONFLICT DO NOTHING", **columns)
