"""Suppression: addresses to which nothing is sent any more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from scheduler.database.engine import execute
from scheduler.input.addresses import fold
from scheduler.registrants.forgotten import suppress_forgotten


def suppress(conn: Connection, now: datetime, address: str) -> int:
    """Send nothing more to this address, for any webinar, now or later. Returns the number of its registrations.

    Pending deliveries are cancelled when the service next plans, and none is sent before that. The address of a
    forgotten person is not stored again.
    """
    if suppress_forgotten(conn, address):
        return 0
    folded = fold(address)
    execute(
        conn,
        "INSERT INTO suppression (address_folded, since) VALUES (:folded, :now) ON CONFLICT DO NOTHING",
        folded=folded,
        now=now,
    )
    # Ending its leases keeps back mails that are claimed and not on the wire yet.
    execute(
        conn,
        "UPDATE delivery SET lease_token = NULL WHERE state = 'pending' AND registration_id IN"
        " (SELECT id FROM registration WHERE address_folded = :folded)",
        folded=folded,
    )
    return execute(
        conn, "UPDATE registration SET plan = 0 WHERE address_folded = :folded", folded=folded
    ).rowcount
