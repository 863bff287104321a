"""State changes without a mail: deliveries expired, doubts resolved by policy, holds released."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection

from scheduler.database.engine import execute
from scheduler.ledger.outcomes import plan_again
from scheduler.ledger.statements import execute_named
from scheduler.ledger.states import State, Why
from scheduler.webinar.model import Webinar

MANY = 2000  # rows in one transaction, at most
UNSETTLED = "state IN ('sending', 'in_doubt', 'held')"  # the condition of its partial index, word for word


def expire(conn: Connection, now: datetime) -> int:
    """Expire up to MANY deliveries that were not sent while they were useful. Returns the number expired."""
    return execute_named(conn, "expire", now=now, many=MANY).rowcount


def resolve_doubts(conn: Connection, now: datetime, webinars: Mapping[str, Webinar]) -> None:
    """Resolve doubts by the organizer's policy: send again while useful, or hold until the policy is changed."""
    # One statement for each state: the partial index serves one state at a time.
    for which, moves in (
        ("state = 'in_doubt'", {"resend": (State.PENDING, ""), "hold": (State.HELD, Why.DOUBT)}),
        (f"state = 'held' AND reason = '{Why.DOUBT}'", {"resend": (State.PENDING, "")}),
    ):
        unsettled = f"{UNSETTLED} AND {which} AND expires_at > :now"
        found = execute(conn, f"SELECT DISTINCT webinar FROM delivery WHERE {unsettled}", now=now)
        affected = found.scalars().all()
        for policy, (state, reason) in moves.items():
            if names := [name for name in affected if name in webinars and webinars[name].on_doubt == policy]:
                settled = execute(
                    conn,
                    f"UPDATE delivery SET state = :state, reason = :reason WHERE {unsettled} AND webinar IN :names"
                    " RETURNING registration_id",
                    state=state,
                    reason=reason,
                    now=now,
                    names=names,
                )
                plan_again(conn, settled.scalars())


def release_held(
    conn: Connection, now: datetime, webinars: Collection[str], messages: Collection[str]
) -> int:
    """Release useful deliveries of these webinars and messages that lacked a sound text. Returns the number."""
    if not (webinars and messages):  # PostgreSQL cannot infer the type of an empty list
        return 0
    return execute(
        conn,
        "UPDATE delivery SET state = 'pending', reason = '' WHERE state = 'held'"
        " AND reason IN (:template, :data) AND webinar IN :webinars AND message IN :messages"
        " AND expires_at > :now",
        now=now,
        template=Why.TEMPLATE,
        data=Why.DATA,
        webinars=list(webinars),
        messages=list(messages),
    ).rowcount


def release_held_by_config(conn: Connection, now: datetime) -> int:
    """Release useful deliveries that the settings held, which may have changed at a start. Returns the number."""
    return execute(
        conn,
        "UPDATE delivery SET state = 'pending', reason = '' WHERE state = 'held' AND reason = :config"
        " AND expires_at > :now",
        now=now,
        config=Why.CONFIG,
    ).rowcount
