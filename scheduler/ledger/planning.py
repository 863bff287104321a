"""Who gets what, when: registrations joined to due times become deliveries, in set-based SQL.

One transaction takes in edits of webinars, then changes of registrants, then brings the ledger to what both
mean. What is sent, failed or in doubt is never touched; a second edition is added where something is due
again. Every statement works on what changed: registrations flagged `replan`, due times flagged `changed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytz
from sqlalchemy import Connection, insert

from scheduler.database.engine import one_planner, run
from scheduler.database.models import DueTime
from scheduler.ledger.edits import Edit, take_edit
from scheduler.ledger.states import CANCELLATION, CHANGE, NOTICES, Why
from scheduler.registrants.changes import take_changes
from scheduler.timing import timings
from scheduler.webinar import Webinar


@dataclass(frozen=True)
class Governing:
    """The revision of a webinar that governs now. Frozen: its file is unsound, nothing new is planned."""

    webinar: Webinar
    revision: str
    frozen: bool = False


def plan(
    conn: Connection, now: datetime, governing: Mapping[str, Governing], return_within: timedelta
) -> bool:
    """Bring the ledger up to date in this transaction. True when there is more to plan at once."""
    one_planner(conn)
    webinars = {name: one.webinar for name, one in governing.items()}
    open_ = [name for name, one in governing.items() if not one.frozen]
    edits = [
        edit
        for name in open_
        if (edit := take_edit(conn, now, governing[name].webinar, governing[name].revision))
    ]
    taken = take_changes(conn, now, webinars, return_within)
    replan = _flagged(conn, "registration", "replan", open_)
    if replan:
        _fill_due_times(conn, [webinars[name] for name in replan])
    changed = _flagged(conn, "due_time", "changed", open_)
    for names, condition in ((replan, "r.replan"), (changed, "d.changed")):
        if names:
            _add_missing(conn, now, names, condition)
            _bring_up_to_date(conn, now, names, condition)
    _due_again(conn, now, edits)
    _recipients_moved(conn, now, taken.moved_address)
    _notices(conn, now, edits, taken.moved_link)
    if replan:
        run(conn, "UPDATE registration SET replan = FALSE WHERE replan AND webinar IN :names", names=replan)
    if changed:
        run(conn, "UPDATE due_time SET changed = FALSE WHERE changed AND webinar IN :names", names=changed)
    return taken.more


def _flagged(conn: Connection, table: str, flag: str, names: list[str]) -> list[str]:
    """Those webinars which have flagged rows: one look at a partial index each."""
    query = f"SELECT 1 FROM {table} WHERE {flag} AND webinar = :name LIMIT 1"
    return [name for name in names if run(conn, query, name=name).first()]


def _fill_due_times(conn: Connection, webinars: Iterable[Webinar]) -> None:
    for webinar in webinars:
        zones = run(
            conn,
            "SELECT DISTINCT zone FROM registration r WHERE replan AND webinar = :webinar AND zone <> ''"
            " AND NOT EXISTS (SELECT 1 FROM due_time d WHERE d.webinar = r.webinar AND d.zone = r.zone)",
            webinar=webinar.id,
        ).scalars()
        if rows := [row for zone in zones for row in due_rows(webinar, zone)]:
            conn.execute(insert(DueTime.__table__), rows)  # type: ignore[attr-defined]


def due_rows(webinar: Webinar, zone: str) -> list[dict[str, object]]:
    """Rows of due_time for one webinar in one zone. Not flagged: whoever is new there is flagged already."""
    return [
        {
            "webinar": webinar.id,
            "message": timing.message,
            "zone": zone,
            "due_at": timing.due_at,
            "expires_at": timing.expires_at,
            "never": timing.never,
            "changed": False,
        }
        for timing in timings(webinar, pytz.timezone(zone))
    ]


_ADD_MISSING = """
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency,
                      due_at, expires_at, next_attempt_at, attempts, message_id, planned_at)
SELECT registration_id, webinar, message, 0, CASE WHEN reason = '' THEN 'pending' ELSE 'skipped' END, reason,
       urgency, due_at, expires_at, due_at, 0, '', :now
FROM (
    SELECT r.id AS registration_id, r.webinar, d.message,
           CASE WHEN d.due_at IS NULL THEN 0 ELSE 1 END AS urgency,
           coalesce(d.due_at, :now) AS due_at, d.expires_at,
           CASE WHEN w.cancelled THEN :called_off
                WHEN s.address_folded IS NOT NULL THEN :suppressed
                WHEN d.due_at IS NULL AND c.address_folded IS NOT NULL THEN :confirmed_elsewhere
                WHEN d.never <> '' THEN d.never
                WHEN d.expires_at <= :now THEN :useless
                WHEN d.due_at < :now THEN :due_before
                ELSE '' END AS reason
    FROM registration r
    JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone
    JOIN planned_message m ON m.webinar = d.webinar AND m.message = d.message AND m.in_sequence
    JOIN planned_webinar w ON w.webinar = r.webinar
    LEFT JOIN suppression s ON s.address_folded = r.address_folded
    LEFT JOIN confirmed_elsewhere c ON c.webinar = r.webinar AND c.address_folded = r.address_folded
    WHERE {condition} AND r.webinar IN :names AND r.gone_at IS NULL
      AND (m.only_seen_from IS NULL OR r.first_seen_at >= m.only_seen_from)
      AND NOT EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id AND x.message = d.message)
) AS missing
"""


def _add_missing(conn: Connection, now: datetime, names: list[str], condition: str) -> None:
    run(
        conn,
        _ADD_MISSING.format(condition=condition),
        now=now,
        names=names,
        called_off=Why.CALLED_OFF,
        suppressed=Why.SUPPRESSED,
        confirmed_elsewhere=Why.CONFIRMED_ELSEWHERE,
        useless=Why.USELESS_WHEN_PLANNED,
        due_before=Why.DUE_BEFORE_PLANNED,
    )


# Innermost: the facts. Middle: why not, if not. Outermost: the state that follows.
_BRING_UP_TO_DATE = """
UPDATE delivery SET state = f.state, reason = f.reason, due_at = f.due_at, expires_at = f.expires_at,
       next_attempt_at = CASE WHEN delivery.due_at = f.due_at AND delivery.state <> 'cancelled'
                              THEN delivery.next_attempt_at ELSE f.due_at END,
       lease_token = NULL
FROM (
    SELECT id, due_at, expires_at,
           CASE WHEN cancel <> '' THEN CASE WHEN state IN ('skipped', 'expired') THEN state ELSE 'cancelled' END
                WHEN state IN ('skipped', 'expired') AND (NOT moved OR skip <> '') THEN state
                WHEN skip <> '' THEN 'skipped'
                WHEN state = 'held' AND reason <> :data THEN 'held'
                ELSE 'pending' END AS state,
           CASE WHEN cancel <> '' THEN CASE WHEN state IN ('skipped', 'expired') THEN reason ELSE cancel END
                WHEN state IN ('skipped', 'expired') AND (NOT moved OR skip <> '') THEN reason
                WHEN skip <> '' THEN skip
                WHEN state = 'held' AND reason <> :data THEN reason
                ELSE '' END AS reason
    FROM (
        SELECT x.id, x.state, x.reason,
               coalesce(d.due_at, x.due_at) AS due_at, coalesce(d.expires_at, x.expires_at) AS expires_at,
               coalesce(d.due_at, x.due_at) <> x.due_at OR coalesce(d.expires_at, x.expires_at) <> x.expires_at
                   OR x.reason IN (:called_off, :suppressed) AS moved,
               CASE WHEN r.gone_at IS NOT NULL THEN :row_deleted
                    WHEN s.address_folded IS NOT NULL THEN :suppressed
                    WHEN w.cancelled AND x.message <> :cancellation THEN :called_off
                    WHEN NOT w.cancelled AND x.message = :cancellation THEN :takes_place
                    WHEN d.message IS NULL AND x.message NOT IN :notices THEN :message_removed
                    ELSE '' END AS cancel,
               CASE WHEN coalesce(d.never, '') <> '' THEN d.never
                    WHEN coalesce(d.expires_at, x.expires_at) <= :now THEN :useless
                    WHEN c.address_folded IS NOT NULL AND d.message IS NOT NULL AND d.due_at IS NULL
                        THEN :confirmed_elsewhere
                    WHEN d.due_at < :now AND (d.due_at <> x.due_at OR x.state IN ('skipped', 'expired'))
                        THEN :due_before
                    ELSE '' END AS skip
        FROM registration r
        JOIN delivery x ON x.registration_id = r.id
        JOIN planned_webinar w ON w.webinar = r.webinar
        LEFT JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = x.message
        LEFT JOIN suppression s ON s.address_folded = r.address_folded
        LEFT JOIN confirmed_elsewhere c ON c.webinar = r.webinar AND c.address_folded = r.address_folded
        WHERE {condition} AND r.webinar IN :names
          AND x.state IN ('pending', 'held', 'skipped', 'expired', 'cancelled')
          AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                          AND y.message = x.message AND y.edition > x.edition)
    ) AS facts
) AS f
WHERE delivery.id = f.id
  AND (delivery.state <> f.state OR delivery.reason <> f.reason OR delivery.due_at <> f.due_at
       OR delivery.expires_at <> f.expires_at OR delivery.lease_token IS NOT NULL)
"""


def _bring_up_to_date(conn: Connection, now: datetime, names: list[str], condition: str) -> None:
    """What is not out yet follows the facts; a lease on it ends, so that nothing stale is on its way."""
    run(
        conn,
        _BRING_UP_TO_DATE.format(condition=condition),
        now=now,
        names=names,
        data=Why.DATA,
        row_deleted=Why.ROW_DELETED,
        suppressed=Why.SUPPRESSED,
        called_off=Why.CALLED_OFF,
        takes_place=Why.TAKES_PLACE,
        message_removed=Why.MESSAGE_REMOVED,
        confirmed_elsewhere=Why.CONFIRMED_ELSEWHERE,
        useless=Why.USELESS_WHEN_PLANNED,
        due_before=Why.DUE_BEFORE_PLANNED,
        cancellation=CANCELLATION,
        notices=NOTICES,
    )


# The next edition of what went out already. {due_at} and {expires_at} are SQL; {condition} picks among
# x (the newest edition of each message), r and d.
_NEXT_EDITION = """
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency,
                      due_at, expires_at, next_attempt_at, attempts, message_id, planned_at)
SELECT x.registration_id, x.webinar, x.message, x.edition + 1, 'pending', '', x.urgency,
       {due_at}, d.expires_at, {due_at}, 0, '', :now
FROM delivery x
JOIN registration r ON r.id = x.registration_id
JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = x.message
JOIN planned_webinar w ON w.webinar = r.webinar
LEFT JOIN suppression s ON s.address_folded = r.address_folded
WHERE {condition} AND r.gone_at IS NULL AND s.address_folded IS NULL AND NOT w.cancelled
  AND d.never = '' AND d.expires_at > :now
  AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                  AND y.message = x.message AND y.edition > x.edition)
"""


def _due_again(conn: Connection, now: datetime, edits: Iterable[Edit]) -> None:
    """A webinar that moved makes messages due again that went out for the old time."""
    sql = _NEXT_EDITION.format(
        due_at="d.due_at",
        condition="x.webinar = :webinar AND d.due_at >= :now AND x.state IN ('sending', 'sent', 'in_doubt')",
    )
    for edit in edits:
        if edit.moved:
            run(conn, sql, now=now, webinar=edit.webinar.id)


def _recipients_moved(conn: Connection, now: datetime, ids: list[int]) -> None:
    """A changed address is a new recipient: the confirmation again, and what failed there counts no more."""
    if not ids:
        return
    went_out = "('sending', 'sent', 'in_doubt', 'failed')"
    condition = f"x.registration_id IN :ids AND d.due_at IS NULL AND x.state IN {went_out}"
    run(conn, _NEXT_EDITION.format(due_at=":now", condition=condition), now=now, ids=ids)
    run(
        conn,
        "UPDATE delivery SET attempts = 0, next_attempt_at = due_at, state = 'pending', reason = ''"
        " WHERE registration_id IN :ids AND urgency > 0 AND expires_at > :now"
        " AND (state = 'failed' OR state = 'pending' AND attempts > 0)",
        now=now,
        ids=ids,
    )


_NOTICE = """
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency,
                      due_at, expires_at, next_attempt_at, attempts, message_id, planned_at)
SELECT r.id, r.webinar, :notice,
       1 + coalesce((SELECT max(y.edition) FROM delivery y
                     WHERE y.registration_id = r.id AND y.message = :notice), 0),
       'pending', '', 0, :now, w.ends_at, :now, 0, '', :now
FROM registration r
JOIN planned_webinar w ON w.webinar = r.webinar
LEFT JOIN suppression s ON s.address_folded = r.address_folded
WHERE {condition} AND r.gone_at IS NULL AND s.address_folded IS NULL AND w.ends_at > :now
  AND EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id
              AND x.state IN ('sending', 'sent', 'in_doubt'))
  AND NOT EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id AND x.message = :notice
                  AND x.state IN ('pending', 'held'))
"""


def _notices(conn: Connection, now: datetime, edits: Iterable[Edit], moved_link: list[int]) -> None:
    """One notice to everybody who was told something that is no longer true."""
    for edit in edits:
        if notice := edit.notice:
            condition = "r.webinar = :webinar"
            if edit.only_shared_link:
                condition += " AND r.join_url = ''"
            run(conn, _NOTICE.format(condition=condition), now=now, notice=notice, webinar=edit.webinar.id)
    if moved_link:
        condition = "r.id IN :ids AND NOT w.cancelled"
        run(conn, _NOTICE.format(condition=condition), now=now, notice=CHANGE, ids=moved_link)
