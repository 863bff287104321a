"""Mails that are no delivery, from when somebody asks for one until it is sent: so far tests of texts.

The web process writes the row and waits for what becomes of it; the service, which alone knows the relays, sends it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from scheduler.database.engine import execute

WITHIN = timedelta(hours=1)
MOST_WITHIN = 20
"""So many mails one person may ask for in that time."""
USEFUL_FOR = timedelta(minutes=2)
"""Somebody waits at a page for it."""
KEPT_FOR = timedelta(days=1)


class TooMany(Exception):
    """This person asked for too many mails; try again later."""


class Waiting(NamedTuple):
    """A mail that is to be sent. The addresses are those of the envelope (RFC 5321)."""

    id: int
    sender: str
    recipient: str
    content: bytes


def put(conn: Connection, now: datetime, sender: str, recipient: str, content: bytes) -> int:
    """Have a mail sent to whoever asks for it; returns the number by which to ask what became of it. Raises TooMany."""
    asked = execute(
        conn,
        "SELECT count(*) FROM outbox WHERE recipient = :recipient AND asked_at > :since",
        recipient=recipient,
        since=now - WITHIN,
    ).scalar_one()
    if asked >= MOST_WITHIN:
        raise TooMany
    made = execute(
        conn,
        "INSERT INTO outbox (sender, recipient, content, asked_at)"
        " VALUES (:sender, :recipient, :content, :now) RETURNING id",
        sender=sender,
        recipient=recipient,
        content=b64encode(content).decode(),
        now=now,
    )
    return int(made.scalar_one())


def outcome(conn: Connection, number: int) -> str | None:
    """Why no relay took the mail, or "" where one did; None: it is not known yet."""
    row = execute(conn, "SELECT done_at, refusal FROM outbox WHERE id = :id", id=number).first()
    return None if row is None or row.done_at is None else str(row.refusal)


def take(conn: Connection, now: datetime) -> Waiting | None:
    """The next mail to send, which no other service takes then. Its content is not kept: were whoever took it killed,
    nobody would send it a second time. Who waited for an older one has given up."""
    execute(
        conn,
        "UPDATE outbox SET taken_at = :now, done_at = :now, content = '', refusal = 'nothing could be sent in time'"
        " WHERE taken_at IS NULL AND asked_at < :then",
        now=now,
        then=now - USEFUL_FOR,
    )
    row = execute(
        conn,
        "UPDATE outbox SET taken_at = :now WHERE taken_at IS NULL"
        " AND id = (SELECT min(id) FROM outbox WHERE taken_at IS NULL)"
        " RETURNING id, sender, recipient, content",
        now=now,
    ).first()
    if row is None:
        return None
    execute(conn, "UPDATE outbox SET content = '' WHERE id = :id", id=row.id)
    return Waiting(row.id, row.sender, row.recipient, b64decode(row.content))


def anything_to_do(conn: Connection, now: datetime) -> bool:
    """Whether there is a mail to send, or one to remove: two looks at indexes."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE taken_at IS NULL)"
        " OR EXISTS (SELECT 1 FROM outbox WHERE id = (SELECT min(id) FROM outbox) AND asked_at < :then)"
    )
    return bool(execute(conn, query, then=now - KEPT_FOR).scalar())


def remove_old(conn: Connection, now: datetime) -> None:
    """Remove what was asked for so long ago that nobody counts it any more."""
    execute(conn, "DELETE FROM outbox WHERE asked_at < :then", then=now - KEPT_FOR)


def note_outcome(conn: Connection, now: datetime, number: int, refusal: str) -> None:
    """Let whoever waits know: "" is sent, else why not."""
    execute(
        conn,
        "UPDATE outbox SET done_at = :now, refusal = :refusal WHERE id = :id",
        now=now,
        refusal=refusal,
        id=number,
    )
