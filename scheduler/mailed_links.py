"""Links that are mailed to an address, so that whoever opens one reads mail there.

A link's token is in the mail alone; the database has its SHA-256, by which it is looked up. Of two guesses neither
comes closer than the other, so the time of a look-up tells nothing.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, select

from scheduler.database.engine import execute
from scheduler.database.models import MailedLink, table

WITHIN = timedelta(days=1)
"""How long a link is kept after it has expired, to count how many were asked for."""
_TOKEN = re.compile(r"[0-9a-f]{40}")


class Purpose(StrEnum):
    """What a link is for. The subject of DATA is a registration, that of the others a row of `signup`."""

    DATA = "data"
    CONFIRM = "confirm"
    WAITING = "waiting"


class MailedTo(NamedTuple):
    """What a link leads to, and the address that proves it."""

    subject_id: int
    address_folded: str


class TooManyLinks(Exception):
    """As many links as are allowed within a day were made for this subject."""


def make(
    conn: Connection, now: datetime, purpose: Purpose, to: MailedTo, *, valid_for: timedelta, most: int
) -> str:
    """Make a link's token, of 160 random bits. Raises TooManyLinks after `most` for a subject within a day."""
    made = execute(
        conn,
        "SELECT count(*) FROM mailed_link WHERE subject_id = :subject AND purpose = :purpose AND until > :then",
        subject=to.subject_id,
        purpose=purpose.value,
        then=now + valid_for - WITHIN,
    ).scalar_one()
    if made >= most:
        raise TooManyLinks
    token = secrets.token_hex(20)
    execute(
        conn,
        "INSERT INTO mailed_link (token_sha256, purpose, subject_id, address_folded, until)"
        " VALUES (:digest, :purpose, :subject, :address, :until)",
        digest=_digest(token),
        purpose=purpose.value,
        subject=to.subject_id,
        address=to.address_folded,
        until=now + valid_for,
    )
    return token


def may_be_token(token: str) -> bool:
    """Whether a text has the form of a token."""
    return _TOKEN.fullmatch(token) is not None


def made_for(
    conn: Connection, purpose: Purpose, address_folded: str, *, valid_for: timedelta, since: datetime
) -> list[datetime]:
    """When links of this purpose, valid for so long, were mailed to an address since then."""
    link = table(MailedLink).c
    made = (
        link.address_folded == address_folded,
        link.purpose == purpose.value,
        link.until > since + valid_for,
    )
    return [until - valid_for for until in conn.execute(select(link.until).where(*made)).scalars()]


def find(conn: Connection, now: datetime, purpose: Purpose, token: str) -> MailedTo | None:
    """What a valid link leads to; None for a token that is unknown, expired, or of another purpose."""
    if not may_be_token(token):
        return None
    found = execute(
        conn,
        "SELECT subject_id, address_folded FROM mailed_link"
        " WHERE token_sha256 = :digest AND purpose = :purpose AND until > :now",
        digest=_digest(token),
        purpose=purpose.value,
        now=now,
    ).first()
    return MailedTo(found.subject_id, found.address_folded) if found else None


def end(conn: Connection, now: datetime, purpose: Purpose, subject_id: int) -> None:
    """End all valid links of a subject, because one was used. They go on counting."""
    execute(
        conn,
        "UPDATE mailed_link SET until = :now WHERE subject_id = :subject AND purpose = :purpose AND until > :now",
        now=now,
        subject=subject_id,
        purpose=purpose.value,
    )


def has_old(conn: Connection, now: datetime) -> bool:
    """Whether there are links to remove. One index lookup."""
    query = "SELECT EXISTS (SELECT 1 FROM mailed_link WHERE until < :then)"
    return bool(execute(conn, query, then=now - WITHIN).scalar())


def remove_old(conn: Connection, now: datetime) -> None:
    """Remove links that expired longer than WITHIN ago."""
    execute(conn, "DELETE FROM mailed_link WHERE until < :then", then=now - WITHIN)


def forget(conn: Connection, address_folded: str) -> int:
    """Delete the links that were mailed to an address. Returns how many."""
    delete = "DELETE FROM mailed_link WHERE address_folded = :address"
    return execute(conn, delete, address=address_folded).rowcount


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
