"""Keys of the API. Each registers people of one webinar. Only the system that has a key knows it; we keep its SHA-256.

A key has 256 random bits, so nobody guesses one, and a slow hash would protect nothing.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple

from sqlalchemy import Connection

from scheduler.database.engine import execute
from scheduler.database.models import ApiKey, table

_PREFIX = "wsk_"  # by which scanners of repositories know a secret
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class Key(NamedTuple):
    """A key, without its secret."""

    name: str
    webinar: str
    since: datetime


def add(conn: Connection, now: datetime, name: str, webinar: str) -> str | None:
    """Add a key. Returns it, once and never again; None if the name is taken."""
    key = _PREFIX + secrets.token_urlsafe(32)
    made = execute(
        conn,
        "INSERT INTO api_key (name, webinar, token_sha256, since) VALUES (:name, :webinar, :digest, :now)"
        " ON CONFLICT (name) DO NOTHING",
        name=name,
        webinar=webinar,
        digest=_digest(key),
        now=now,
    )
    return key if made.rowcount else None


def all_keys(conn: Connection) -> list[Key]:
    """All keys, by name."""
    keys = table(ApiKey)
    rows = conn.execute(keys.select().order_by(keys.c.name))
    return [Key(row.name, row.webinar, row.since) for row in rows]


def remove(conn: Connection, name: str) -> bool:
    """Remove a key: it works no longer. Returns whether it existed."""
    return execute(conn, "DELETE FROM api_key WHERE name = :name", name=name).rowcount > 0


def find(conn: Connection, key: str) -> Key | None:
    """Whose key this is; None if it is nobody's. The comparison takes the same time for every key."""
    digest, keys = _digest(key), table(ApiKey)
    found = [row for row in conn.execute(keys.select()) if compare_digest(row.token_sha256, digest)]
    return Key(found[0].name, found[0].webinar, found[0].since) if found else None


def _digest(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
