"""State changes that need no mail: expired deliveries, doubts settled by policy, holds released."""

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
UNSETTLED = "state IN ('sending', 'in_doubt', 'held')"  # as its partial index says it


def expire(conn: Connection, now: datetime) -> int:
    """Expire deliveries that nobody sent in time: up to MANY. Returns how many."""
    return execute_named(conn, "expire", now=now, many=MANY).rowcount


def settle_doubt(conn: Connection, now: datetime, webinars: Mapping[str, Webinar]) -> None:
    """Settle doubts by the organizer's policy: send once more while it is useful, or hold for a person, who has it
    sent by changing the policy."""
    # A statement each: the index of what is unsettled is used for one state at a time.
    for which, moves in (
        ("state = 'in_doubt'", {"resend": (State.PENDING, ""), "hold": (State.HELD, Why.DOUBT)}),
        (f"state = 'held' AND reason = '{Why.DOUBT}'", {"resend": (State.PENDING, "")}),
    ):
        unsettled = f"{UNSETTLED} AND {which} AND expires_at > :now"
        there = (
            execute(conn, f"SELECT DISTINCT webinar FROM delivery WHERE {unsettled}", now=now).scalars().all()
        )
        for policy, (state, reason) in moves.items():
            if names := [name for name in there if name in webinars and webinars[name].on_doubt == policy]:
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


def free_held(conn: Connection, now: datetime, webinars: Collection[str], messages: Collection[str]) -> int:
    """Release what was held for want of a sound text of these messages of these webinars, if still useful."""
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


def free_held_by_config(conn: Connection, now: datetime) -> int:
    """At a start, whose settings may be others than before: what they held is tried again."""
    return execute(
        conn,
        "UPDATE delivery SET state = 'pending', reason = '' WHERE state = 'held' AND reason = :config"
        " AND expires_at > :now",
        now=now,
        config=Why.CONFIG,
    ).rowcount
