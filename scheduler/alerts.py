"""What is wrong and must be mended by a person: told once when it begins, once when it is right again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from scheduler.database.models import Alert


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


def note(conn: Connection, now: datetime, wrong: Mapping[Wrong, str], prefix: str) -> None:
    """Bring the alerts whose key begins with `prefix` to what is wrong now, with the words for each."""
    table = Alert.__table__  # type: ignore[attr-defined]
    known = {
        Wrong(row.key, row.alert_to): row
        for row in conn.execute(select(table).where(table.c.key.startswith(prefix, autoescape=True)))
    }
    for one, words in wrong.items():
        here = (table.c.key == one.key) & (table.c.alert_to == one.alert_to)
        if one not in known:
            conn.execute(
                insert(table), {"key": one.key, "alert_to": one.alert_to, "words": words, "raised_at": now}
            )
        elif known[one].cleared_at is not None:  # wrong again before "right again" was told
            conn.execute(update(table).where(here).values(cleared_at=None, words=words))
    for one in known.keys() - wrong.keys():
        here = (table.c.key == one.key) & (table.c.alert_to == one.alert_to)
        if known[one].told_at is None:  # over before anybody was told
            conn.execute(delete(table).where(here))
        elif known[one].cleared_at is None:
            conn.execute(update(table).where(here).values(cleared_at=now))


def to_tell(conn: Connection) -> list[Telling]:
    """The mails that organizers have still to get."""
    table = Alert.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table).where(table.c.told_at.is_(None) | table.c.cleared_at.is_not(None)))
    return [Telling(row.key, row.alert_to, row.words, row.cleared_at is not None) for row in rows]


def told(conn: Connection, now: datetime, telling: Telling) -> None:
    """This mail was accepted by the relay."""
    table = Alert.__table__  # type: ignore[attr-defined]
    here = (table.c.key == telling.key) & (table.c.alert_to == telling.alert_to)
    if telling.right_again:
        conn.execute(delete(table).where(here & table.c.cleared_at.is_not(None)))
    else:
        conn.execute(update(table).where(here).values(told_at=now))


def standing(conn: Connection) -> list[str]:
    """What is wrong now, in words."""
    table = Alert.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table.c.words).where(table.c.cleared_at.is_(None)).distinct())
    return sorted(row.words for row in rows)
