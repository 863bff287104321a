"""What registrants ask for on their pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest

from sqlalchemy import Connection

from scheduler.database.engine import execute


@dataclass(frozen=True)
class Standing:
    """A registration as its person sees it."""

    registration_id: int
    webinar: str
    address: str
    name: str
    language: str
    zone: str
    zone_known_by: str
    join_url: str
    uid: str
    key: str
    chosen_zone: bool
    chosen_language: bool
    withdrawn_at: datetime | None
    unsubscribed: bool
    suppressed: bool
    unwanted: frozenset[str]
    gone: bool
    country: str
    timezone: str


def find(conn: Connection, key: str) -> Standing | None:
    """The registration with this key, compared in constant time; None if nobody has it."""
    rows = execute(
        conn,
        "SELECT id, webinar, address, name, language, zone, zone_known_by, join_url, uid, key, country, timezone,"
        " gone_at FROM registration WHERE substr(key, 1, 8) = :selector",
        selector=key[:8],
    )
    for row in rows:
        if compare_digest(row.key.encode(), key.encode()):
            return Standing(
                registration_id=row.id, webinar=row.webinar, address=row.address, name=row.name,
                language=row.language, zone=row.zone, zone_known_by=row.zone_known_by, join_url=row.join_url,
                uid=row.uid, key=row.key, chosen_zone=False, chosen_language=False, withdrawn_at=None,
                unsubscribed=False, suppressed=False, unwanted=frozenset(), gone=row.gone_at is not None,
                country=row.country, timezone=row.timezone,
            )  # fmt: skip
    return None


class CannotSendAgain(Exception): ...


def choose_zone(*a: object) -> None: ...
def choose_language(*a: object) -> None: ...
def choose_messages(*a: object) -> None: ...
def send_again(*a: object) -> None: ...
def withdraw(*a: object) -> None: ...
def come_back(*a: object) -> None: ...
def subscribe(*a: object) -> None: ...
def unsubscribe(*a: object, everything: bool, source: str) -> None: ...
