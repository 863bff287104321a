"""A signed time in a form, which tells when its page was shown: programs fill in a form in no time. No cookie."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from scheduler.database.engine import execute

_DIGITS = 32  # of the signature, 128 bits


def form_key(conn: Connection) -> bytes:
    """The key that signs stamps: one for all replicas."""
    return bytes.fromhex(execute(conn, "SELECT value FROM secret WHERE name = 'form'").scalar_one())


def stamp(key: bytes, webinar: str, now: datetime) -> str:
    """The stamp of a form of this webinar that is shown now."""
    seconds = str(int(now.timestamp()))
    return f"{seconds}.{_signature(key, webinar, seconds)}"


def age(key: bytes, webinar: str, now: datetime, given: str) -> timedelta | None:
    """For how long a form with this stamp has been shown; None if the stamp is not ours."""
    seconds, _, signature = given.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(key, webinar, seconds).encode()):
        return None
    return now - datetime.fromtimestamp(int(seconds), UTC)


def _signature(key: bytes, webinar: str, seconds: str) -> str:
    return hmac.digest(key, f"{webinar}\0{seconds}".encode("utf-8", "surrogatepass"), "sha256").hex()[
        :_DIGITS
    ]
