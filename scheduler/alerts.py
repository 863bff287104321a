"""What is wrong and must be fixed by a person: they are notified when it begins, when it changes, and when it is right
again.

The words of an alert begin with what is wrong; behind an empty line stands what goes out meanwhile.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, select, update

from scheduler.database.engine import execute
from scheduler.database.models import Alert

AGAIN_AFTER = timedelta(minutes=10)
"""Between two mails about what is wrong with one thing: somebody who edits a file saves often."""
NOTICE = "notice "
"""Begins the keys of what is not wrong, but will be sent to people unless somebody stops it."""
RETENTION = "retention "
"""Begins the keys of what is not wrong either: people whose webinar is long over are about to be removed."""


KINDS = ("text", "webinar file", "layout", "relay", "ledger restored", "notice", "retention", "source")


def kind_of(key: str) -> str:
    """The kind of an alert, which is the first part of its key; "other" for a kind of another version."""
    return next((kind for kind in KINDS if key == kind or key.startswith(f"{kind} ")), "other")


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
    told_at: datetime | None
    """When they were last notified, of `told_words`; None: not yet."""
    told_words: str | None


@dataclass(frozen=True)
class OpenAlert:
    """What is wrong since when, and when organizers were notified (None: not all of them yet). UTC."""

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
        elif not once or known[one].cleared_at is not None or known[one].told_at is None:
            # Also where it is wrong again before "right again" was sent.
            conn.execute(update(table).where(here).values(cleared_at=None, words=words))
    for one in known.keys() - wrong.keys():
        if one.key in undecided:
            continue
        here = (table.c.key == one.key) & (table.c.alert_to == one.alert_to)
        if once or known[one].told_at is None:  # over before anybody was told
            conn.execute(delete(table).where(here))
        elif known[one].cleared_at is None:
            conn.execute(update(table).where(here).values(cleared_at=now))


def standing(conn: Connection) -> list[OpenAlert]:
    """What is wrong now, by key."""
    table = Alert.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table).where(table.c.cleared_at.is_(None)).order_by(table.c.key))
    return [_standing(key, list(same)) for key, same in groupby(rows, key=lambda row: str(row.key))]


def _standing(key: str, rows: list[Row[Any]]) -> OpenAlert:
    """One alert, whoever it concerns."""
    told = [row.told_at for row in rows]
    raised_at = min(row.raised_at for row in rows)
    return OpenAlert(key, rows[0].words, raised_at, None if None in told else max(told))


def to_tell(conn: Connection, now: datetime) -> list[Telling]:
    """The mails that organizers have still to get."""
    table = Alert.__table__  # type: ignore[attr-defined]
    rows = conn.execute(
        select(table).where(
            table.c.told_at.is_(None)
            | table.c.cleared_at.is_not(None)
            | (table.c.words != table.c.told_words)
        )
    )
    return [
        Telling(row.key, row.alert_to, row.words, row.cleared_at is not None, row.told_at, row.told_words)
        for row in rows
        if row.told_at is None or row.cleared_at is not None or _is_other(row, now)
    ]


def _is_other(row: Row[Any], now: datetime) -> bool:
    """Whether something else is wrong than they were notified of, a while ago."""
    return _wrong(row.words) != _wrong(row.told_words) and row.told_at <= now - AGAIN_AFTER


def _wrong(words: str) -> str:
    return words.partition("\n\n")[0]


def take(conn: Connection, now: datetime, telling: Telling) -> bool:
    """Take this mail upon oneself, before it is sent: another replica doesn't. False: one did already."""
    table = Alert.__table__  # type: ignore[attr-defined]
    here = (table.c.key == telling.key) & (table.c.alert_to == telling.alert_to)
    if telling.right_again:
        return conn.execute(delete(table).where(here & table.c.cleared_at.is_not(None))).rowcount == 1
    untold = here & table.c.told_at.is_not_distinct_from(telling.told_at)
    told = update(table).where(untold).values(told_at=now, told_words=telling.words)
    return conn.execute(told).rowcount == 1


def give_back(conn: Connection, now: datetime, telling: Telling) -> None:
    """The relay did not take this mail: it is still to be sent."""
    table = Alert.__table__  # type: ignore[attr-defined]
    here = (table.c.key == telling.key) & (table.c.alert_to == telling.alert_to)
    if telling.right_again:
        _raise(conn, Wrong(telling.key, telling.alert_to), telling.words, now, told_at=now, cleared_at=now)
        return
    if telling.told_at is None:  # over before anybody was told
        conn.execute(delete(table).where(here & table.c.cleared_at.is_not(None)))
    before = {"told_at": telling.told_at, "told_words": telling.told_words}
    conn.execute(update(table).where(here).values(before))


def _raise(conn: Connection, one: Wrong, words: str, now: datetime, **values: datetime) -> None:
    """Another replica may have done so at this moment."""
    columns = {"key": one.key, "alert_to": one.alert_to, "words": words, "raised_at": now} | values
    names, binds = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    execute(conn, f"INSERT INTO alert ({names}) VALUES ({binds}) ON CONFLICT DO NOTHING", **columns)
