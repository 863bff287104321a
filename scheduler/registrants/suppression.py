"""Suppression: addresses to which nothing is sent any more, or nothing of one webinar but that it is moved or
cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, select

from scheduler.database.engine import as_list, dialect, execute
from scheduler.database.models import Suppression, table
from scheduler.input.addresses import fold
from scheduler.registrants.forgotten import forgotten, suppress_forgotten, unsuppress_forgotten

Source = Literal["organizer", "page", "one-click"]
ORGANIZER: Source = "organizer"
EVERYTHING = ""
"""The scope of a suppression for all webinars, present and future."""


def suppress(
    conn: Connection, now: datetime, address: str, webinar: str = EVERYTHING, source: Source = "organizer"
) -> list[int]:
    """Send nothing more to this address, for any webinar or for this one. Returns its registrations.

    They wait to be planned, and nothing is sent to them before that. An earlier suppression keeps its source and time.
    The address of a forgotten person is not stored again.
    """
    folded = fold(address)
    if webinar == EVERYTHING and suppress_forgotten(conn, address):
        return []
    found = _registrations(conn, folded, webinar)
    if webinar != EVERYTHING and not found and forgotten(conn, address):
        return []
    execute(
        conn,
        "INSERT INTO suppression (address_folded, webinar, source, since) VALUES (:folded, :webinar, :source, :now)"
        " ON CONFLICT DO NOTHING",
        folded=folded,
        webinar=webinar,
        source=source,
        now=now,
    )
    _plan_again(conn, found)
    return found


def unsuppress(conn: Connection, address: str, webinars: Sequence[str] = (EVERYTHING,)) -> list[int] | None:
    """Send to this address again what these scopes of suppression kept back. Returns the registrations that wait to be
    planned; None if there was no such suppression."""
    folded = fold(address)
    ended = execute(
        conn,
        "DELETE FROM suppression WHERE address_folded = :folded AND webinar IN :webinars",
        folded=folded,
        webinars=list(webinars),
    ).rowcount
    if EVERYTHING in webinars and unsuppress_forgotten(conn, address):
        ended += 1
    if not ended:
        return None
    scopes = [EVERYTHING] if EVERYTHING in webinars else webinars
    found = [number for webinar in scopes for number in _registrations(conn, folded, webinar)]
    _plan_again(conn, found)
    return found


def suppressions(conn: Connection, folded: str) -> dict[str, tuple[str, datetime]]:
    """The source of each suppression of this address and its time, by webinar; "": everything."""
    s = table(Suppression).c
    rows = conn.execute(
        select(s.webinar, s.source, s.since).where(s.address_folded == folded).order_by(s.webinar)
    )
    return {row.webinar: (row.source, row.since) for row in rows}


def _registrations(conn: Connection, folded: str, webinar: str) -> list[int]:
    query = (
        "SELECT id FROM registration WHERE address_folded = :folded AND :webinar IN ('', webinar) ORDER BY id"
    )
    return list(execute(conn, query, folded=folded, webinar=webinar).scalars())


def _plan_again(conn: Connection, ids: Sequence[int]) -> None:
    """Have these registrations planned again, and end the leases of their mails that are claimed, but not on the
    wire."""
    engine, given = dialect(conn), as_list(conn, ids)
    execute(conn, f"UPDATE registration SET plan = 0 WHERE {engine.among('id', 'ids')}", ids=given)
    execute(
        conn,
        "UPDATE delivery SET lease_token = NULL WHERE state = 'pending' AND lease_token IS NOT NULL"
        f" AND {engine.among('registration_id', 'ids')}",
        ids=given,
    )
