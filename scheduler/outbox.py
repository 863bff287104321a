"""The outbox: mails that are not deliveries, until they are sent: tests of texts, and links that registrants ask for.

The web process adds a row; the service, which alone has access to the relays, sends the mail. Somebody waits at a page
for the outcome of a test, so it is tried once. Nobody waits for a patient mail: it is useful for an hour, and tried
again when a relay refuses it for now.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, select

from scheduler.database.engine import execute
from scheduler.database.models import Outbox, table

_O = table(Outbox)

WITHIN = timedelta(hours=1)
MOST_WITHIN = 20
"""The most mails that a recipient may request within WITHIN."""
USEFUL_FOR = timedelta(minutes=2)
"""How long a mail is useful for whose outcome somebody waits at a page."""
PATIENT_FOR = timedelta(hours=1)
"""How long a patient mail is useful."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=15)
"""Before a patient mail is tried again."""
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
    asked_at: datetime
    patient: bool


def put(
    conn: Connection, now: datetime, sender: str, recipient: str, content: bytes, *, patient: bool = False
) -> int:
    """Add a mail to the outbox. Returns its number, for `outcome`. `patient`: nobody waits for the outcome. Raises
    TooMany."""
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
        "INSERT INTO outbox (sender, recipient, content, asked_at, useful_until, next_try_at)"
        " VALUES (:sender, :recipient, :content, :now, :useful_until, :next_try_at) RETURNING id",
        sender=sender,
        recipient=recipient,
        content=b64encode(content).decode(),
        now=now,
        useful_until=now + (PATIENT_FOR if patient else USEFUL_FOR),
        next_try_at=now if patient else None,
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
        " WHERE taken_at IS NULL AND useful_until < :now",
        now=now,
    )
    row = execute(
        conn,
        "UPDATE outbox SET taken_at = :now WHERE taken_at IS NULL"
        f" AND id = (SELECT min(id) FROM outbox WHERE {_CAN_BE_TRIED}) RETURNING id",
        now=now,
    ).first()
    if row is None:
        return None
    mail = conn.execute(select(_O).where(_O.c.id == row.id)).one()
    execute(conn, "UPDATE outbox SET content = '' WHERE id = :id", id=mail.id)
    patient = mail.next_try_at is not None
    return Waiting(mail.id, mail.sender, mail.recipient, b64decode(mail.content), mail.asked_at, patient)


_CAN_BE_TRIED = "taken_at IS NULL AND (next_try_at IS NULL OR next_try_at <= :now)"


def put_back(conn: Connection, now: datetime, mail: Waiting) -> None:
    """Let a patient mail wait for its next try, after pauses that double. It does nothing if the recipient was
    forgotten meanwhile."""
    pause = min(max(now - mail.asked_at, FIRST_PAUSE), LONGEST_PAUSE)
    execute(
        conn,
        "UPDATE outbox SET taken_at = NULL, content = :content, next_try_at = :then WHERE id = :id",
        id=mail.id,
        content=b64encode(mail.content).decode(),
        then=now + pause,
    )


def has_work(conn: Connection, now: datetime) -> bool:
    """Whether there is a mail to send, or a row to remove. Two index lookups."""
    query = (
        f"SELECT EXISTS (SELECT 1 FROM outbox WHERE {_CAN_BE_TRIED})"
        " OR EXISTS (SELECT 1 FROM outbox WHERE id = (SELECT min(id) FROM outbox) AND asked_at < :then)"
    )
    return bool(execute(conn, query, now=now, then=now - KEPT_FOR).scalar())


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
