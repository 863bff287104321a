"""Mails to people who wait for a place."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from scheduler.registrants.signups import Details, Outcome, State
from scheduler.webinar.model import Webinar


def put_on_list(conn: Connection, now: datetime, webinar: Webinar, one: Details, outcome: Outcome) -> None:
    """Let somebody who waits for a place from now on know it."""
    if outcome.state is not State.WAITING or not outcome.changed:
        return
