"""Problems that a person must fix. Organizers are notified when one begins, when it changes, and when it is resolved.

The first paragraph of an alert's words says what is wrong; the second says which mails go out in the meantime.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, select, update

from scheduler.database.engine import execute
from scheduler.database.models import Alert, table

AGAIN_AFTER = timedelta(minutes=10)
"""Shortest time between two mails about one problem: people who edit a file save often."""
NOTICE = "notice "
"""Prefix of the keys of notices: nothing is wrong, but people will be notified unless somebody stops it."""
RETENTION = "retention "
"""Prefix of the keys of retention warnings: nothing is wrong, but people will be removed long after their webinar."""


KINDS = ("text", "webinar file", "layout", "relay", "ledger restored", "notice", "retention", "source")


def kind_of(key: str) -> str:
    """The kind of an alert, which is the first part of its key; "other" for a kind of another version."""
    return next((kind for kind in KINDS if key == kind or key.startswith(f"{kind} ")), "other")


class AlertKey(NamedTuple):
    """A problem and the person to notify of it: the primary key of table `alert`."""

    key: str  # "text reminder-day/fr", "webinar file x.toml", "relay"
    alert_to: str


@dataclass(frozen=True)
class AlertMail:
    """A mail to an organizer that has not been sent yet."""

    key: str
    alert_to: str
    words: str
    resolved: bool
    told_at: datetime | None
    """When the organizer was last notified, with `told_words` (UTC); None: not yet."""
    told_words: str | None


@dataclass(frozen=True)
class OpenAlert:
    """A problem that is not resolved. `told_at`: when the last organizer was notified; None: some were not yet. UTC."""

    key: str
    words: str
    raised_at: datetime
    told_at: datetime | None


def reconcile(
    conn: Connection,
    now: datetime,
    wrong: Mapping[AlertKey, str],
    prefix: str,
    *,
    once: bool = False,
    undecided: Container[str] = (),
) -> None:
    """Make the alerts whose key begins with `prefix` match `wrong`, which has the words for each. `once`: nobody is
    notified when it is resolved. `undecided`: keys whose state is unknown now; their alerts stay."""
    alert = table(Alert)
    known = {
        AlertKey(row.key, row.alert_to): row
        for row in conn.execute(select(alert).where(alert.c.key.startswith(prefix, autoescape=True)))
    }
    for one, words in wrong.items():
        if one not in known:
            _raise(conn, one, words, now)
        elif not once or known[one].cleared_at is not None or known[one].told_at is None:
            # Reopens an alert, too, if the problem returned before the mail that it is resolved was sent.
            conn.execute(update(alert).where(_is(one)).values(cleared_at=None, words=words))
    for one in known.keys() - wrong.keys():
        if one.key in undecided:
            continue
        if once or known[one].told_at is None:  # resolved before anybody was notified
            conn.execute(delete(alert).where(_is(one)))
        elif known[one].cleared_at is None:
            conn.execute(update(alert).where(_is(one)).values(cleared_at=now))


def _is(key: AlertKey | AlertMail) -> ColumnElement[bool]:
    columns = table(Alert).c
    return and_(columns.key == key.key, columns.alert_to == key.alert_to)


def open_alerts(conn: Connection) -> list[OpenAlert]:
    """The problems that are not resolved, by key."""
    alert = table(Alert)
    rows = conn.execute(select(alert).where(alert.c.cleared_at.is_(None)).order_by(alert.c.key))
    return [_open_alert(key, list(same)) for key, same in groupby(rows, key=lambda row: str(row.key))]


def _open_alert(key: str, rows: list[Row[Any]]) -> OpenAlert:
    """The alert of a key from its rows, one for each recipient."""
    told = [row.told_at for row in rows]
    raised_at = min(row.raised_at for row in rows)
    return OpenAlert(key, rows[0].words, raised_at, None if None in told else max(told))


def due_mails(conn: Connection, now: datetime) -> list[AlertMail]:
    """The mails about alerts that are to be sent now."""
    alert = table(Alert)
    rows = conn.execute(
        select(alert).where(
            alert.c.told_at.is_(None)
            | alert.c.cleared_at.is_not(None)
            | (alert.c.words != alert.c.told_words)
        )
    )
    return [
        AlertMail(row.key, row.alert_to, row.words, row.cleared_at is not None, row.told_at, row.told_words)
        for row in rows
        if row.told_at is None or row.cleared_at is not None or _has_changed(row, now)
    ]


def _has_changed(row: Row[Any], now: datetime) -> bool:
    """Whether the problem differs from the one in the last mail, which was sent at least AGAIN_AFTER ago."""
    changed = _first_paragraph(row.words) != _first_paragraph(row.told_words)
    return changed and row.told_at <= now - AGAIN_AFTER


def _first_paragraph(words: str) -> str:
    return words.partition("\n\n")[0]


def claim(conn: Connection, now: datetime, mail: AlertMail) -> bool:
    """Claim a mail before it is sent, so that no other replica sends it. Returns False if one already claimed it."""
    alert = table(Alert)
    if mail.resolved:
        return conn.execute(delete(alert).where(_is(mail) & alert.c.cleared_at.is_not(None))).rowcount == 1
    untold = _is(mail) & alert.c.told_at.is_not_distinct_from(mail.told_at)
    told = update(alert).where(untold).values(told_at=now, told_words=mail.words)
    return conn.execute(told).rowcount == 1


def release(conn: Connection, now: datetime, mail: AlertMail) -> None:
    """Undo `claim`: the relay refused the mail, which is to be sent again."""
    alert = table(Alert)
    if mail.resolved:
        _raise(conn, AlertKey(mail.key, mail.alert_to), mail.words, now, told_at=now, cleared_at=now)
        return
    if mail.told_at is None:  # resolved before anybody was notified
        conn.execute(delete(alert).where(_is(mail) & alert.c.cleared_at.is_not(None)))
    before = {"told_at": mail.told_at, "told_words": mail.told_words}
    conn.execute(update(alert).where(_is(mail)).values(before))


def _raise(conn: Connection, one: AlertKey, words: str, now: datetime, **values: datetime) -> None:
    """Insert an alert, unless another replica has just inserted it."""
    columns = {"key": one.key, "alert_to": one.alert_to, "words": words, "raised_at": now} | values
    names, binds = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    execute(conn, f"INSERT INTO alert ({names}) VALUES ({binds}) ON CONFLICT DO NOTHING", **columns)
