"""The outbox: mails that are not deliveries, until they are sent. So far these are tests of texts.

The web process adds a row and waits for its outcome; the service, which alone has access to the relays, sends the mail.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from scheduler.database.engine import execute

WITHIN = timedelta(hours=1)
MOST_WITHIN = 20
"""The most mails that a recipient may request within WITHIN."""
USEFUL_FOR = timedelta(minutes=2)
"""How long a mail is useful: somebody waits for it at a page."""
KEPT_FOR = timedelta(days=1)
"""How long rows are kept, to count a recipient's requests."""


class TooMany(Exception):
    """This recipient requested too many mails; try again later."""


class Waiting(NamedTuple):
    """A mail to be sent. The addresses are those of the envelope (RFC 5321, 2.3.1)."""

    id: int
    sender: str
    recipient: str
    content: bytes


def put(conn: Connection, now: datetime, sender: str, recipient: str, content: bytes) -> int:
    """Add a mail to the outbox. Returns its number, for `outcome`. Raises TooMany."""
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
    """Why no relay accepted the mail, "" if one did, None while the outcome is not known."""
    row = execute(conn, "SELECT done_at, refusal FROM outbox WHERE id = :id", id=number).first()
    return None if row is None or row.done_at is None else str(row.refusal)


def pop(conn: Connection, now: datetime) -> Waiting | None:
    """Claim the next mail, so that no other service sends it, and delete its content: after a crash it is not sent
    again. Mails that are no longer useful are refused."""
    execute(
        conn,
        "UPDATE outbox SET taken_at = :now, done_at = :now, content = '', refusal = 'it could not be sent in time'"
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


def has_work(conn: Connection, now: datetime) -> bool:
    """Whether there is a mail to send, or a row to remove. Two index lookups."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE taken_at IS NULL)"
        " OR EXISTS (SELECT 1 FROM outbox WHERE id = (SELECT min(id) FROM outbox) AND asked_at < :then)"
    )
    return bool(execute(conn, query, then=now - KEPT_FOR).scalar())


def remove_old(conn: Connection, now: datetime) -> None:
    """Remove rows older than KEPT_FOR."""
    execute(conn, "DELETE FROM outbox WHERE asked_at < :then", then=now - KEPT_FOR)


def record_outcome(conn: Connection, now: datetime, number: int, refusal: str) -> None:
    """Record the outcome of a mail: "" if it was sent, else why not."""
    execute(
        conn,
        "UPDATE outbox SET done_at = :now, refusal = :refusal WHERE id = :id",
        now=now,
        refusal=refusal,
        id=number,
    )
