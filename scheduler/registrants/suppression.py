"""An address that nobody writes to any more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from scheduler.database.engine import execute
from scheduler.input.addresses import fold
from scheduler.registrants.forgotten import suppress_forgotten


def suppress(conn: Connection, now: datetime, address: str) -> int:
    """Write to this address no more, for any webinar, now or later. Returns how many registrations it has.

    What is pending is cancelled when the service next plans, and at once where it might be sent before. Of somebody who
    was forgotten, the address is not written down again.
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
    # Its leases end with this, too: a mail that is not on the wire yet stays here.
    execute(
        conn,
        "UPDATE delivery SET lease_token = NULL WHERE state = 'pending' AND registration_id IN"
        " (SELECT id FROM registration WHERE address_folded = :folded)",
        folded=folded,
    )
    return execute(
        conn, "UPDATE registration SET plan = 0 WHERE address_folded = :folded", folded=folded
    ).rowcount
