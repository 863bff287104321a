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

from scheduler.database.engine import dialect, one_planner, run
from scheduler.database.models import DueTime
from scheduler.ledger.edits import Edit, due_row, is_behind, planned_revisions, take_edit
from scheduler.ledger.states import Why
from scheduler.registrants.changes import take_changes
from scheduler.timing import timings
from scheduler.webinar import CANCELLATION, CHANGE, NOTICES, Webinar

BEHIND = "another replica read a newer revision of its file; this one neither plans nor sends until it does"

MANY = 500  # rows in one transaction


@dataclass(frozen=True)
class Governing:
    """The revision of a webinar that governs now. Frozen: its file is unsound, nothing new is planned."""

    webinar: Webinar
    revision: str
    frozen: bool = False


@dataclass(frozen=True)
class _Flagged:
    """What a statement is about, as parts of its SQL: registrations whose rows changed, or due times that did."""

    condition: str
    by: str
    join: str


def plan(
    conn: Connection, now: datetime, governing: Mapping[str, Governing], return_within: timedelta
) -> bool:
    """Bring the ledger up to date in this transaction. True when there is more to plan at once."""
    one_planner(conn)
    webinars = {name: one.webinar for name, one in governing.items()}
    others = others_plan(conn, governing)
    ours = [name for name in governing if name not in others]
    open_ = [name for name in ours if not governing[name].frozen]
    edits = [
        edit
        for name in open_
        if (edit := take_edit(conn, now, governing[name].webinar, governing[name].revision))
    ]
    taken = take_changes(conn, now, webinars, return_within)
    replan = _flagged(conn, "registration", "replan", ours)
    if replan:
        _fill_due_times(conn, [webinars[name] for name in replan])
    if taken.rows >= MANY:
        dialect(conn).many_rows_came(conn, "registration", "due_time", "planned_message")
    changed = _flagged(conn, "due_time", "changed", open_)
    _failures_elsewhere_forgotten(conn, now, taken.moved_address)
    engine = dialect(conn)
    by_registration = _Flagged("r.replan", engine.only_by.format("registration_replan"), engine.join_next)
    for names, flagged in ((replan, by_registration), (changed, _Flagged("d.changed", "", "JOIN"))):
        if names:
            _bring_up_to_date(conn, now, names, flagged)
        if here := [name for name in names if name in open_]:
            _add_missing(conn, now, here, flagged)
    if taken.rows >= MANY:
        dialect(conn).many_rows_came(conn, "delivery")
    _due_again(conn, now, edits)
    _recipients_moved(conn, now, taken.moved_address)
    _notices(conn, now, edits, taken.moved_link)
    _clear_flags(conn, replan, changed, open_)
    return taken.more


def others_plan(conn: Connection, governing: Mapping[str, Governing]) -> list[str]:
    """The webinars of which another replica has read a newer revision of the file than ours: planning by ours
    would move everything back, and tell everybody."""
    planned = planned_revisions(conn)
    return [
        name
        for name, one in governing.items()
        if planned.get(name) not in (None, one.revision) and is_behind(conn, name, one.revision)
    ]


def _clear_flags(conn: Connection, replan: list[str], changed: list[str], open_: list[str]) -> None:
    """Who is new while a webinar is frozen stays flagged until it is no more."""
    clear = "UPDATE registration SET replan = FALSE WHERE replan AND webinar IN :names"
    planned = " AND EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = registration.id)"
    for names, condition in (
        ([name for name in replan if name in open_], ""),
        ([name for name in replan if name not in open_], planned),
    ):
        if names:
            run(conn, clear + condition, names=names)
    if changed:
        run(conn, "UPDATE due_time SET changed = FALSE WHERE changed AND webinar IN :names", names=changed)


def _flagged(conn: Connection, table: str, flag: str, names: list[str]) -> list[str]:
    """Those webinars which have flagged rows: one look at a partial index each."""
    query = f"SELECT 1 FROM {table} WHERE {flag} AND webinar = :name LIMIT 1"
    return [name for name in names if run(conn, query, name=name).first()]


def _fill_due_times(conn: Connection, webinars: Iterable[Webinar]) -> None:
    by = dialect(conn).only_by.format("registration_replan")
    for webinar in webinars:
        zones = run(
            conn,
            "SELECT zone FROM (SELECT DISTINCT webinar, zone"
            f" FROM registration r{by} WHERE replan AND webinar = :webinar AND zone <> '') z"
            " WHERE NOT EXISTS (SELECT 1 FROM due_time d WHERE d.webinar = z.webinar AND d.zone = z.zone)",
            webinar=webinar.id,
        ).scalars()
        # Not flagged: whoever is new there is flagged already.
        rows = [
            due_row(webinar, zone, timing, changed=False)
            for zone in zones
            for timing in timings(webinar, pytz.timezone(zone))
        ]
        if rows:
            conn.execute(insert(DueTime.__table__), rows)  # type: ignore[attr-defined]


_INSERT = """
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency,
                      due_at, expires_at, next_attempt_at, attempts, message_id, planned_at)"""

_ADD_MISSING = f"""{_INSERT}
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
    FROM registration r{{by}}
    {{join}} planned_message m ON m.webinar = r.webinar AND m.in_sequence
    JOIN due_time d ON d.webinar = r.webinar AND d.message = m.message AND d.zone = r.zone
    JOIN planned_webinar w ON w.webinar = r.webinar
    LEFT JOIN suppression s ON s.address_folded = r.address_folded
    LEFT JOIN confirmed_elsewhere c ON c.webinar = r.webinar AND c.address_folded = r.address_folded
    WHERE {{condition}} AND r.webinar IN :names AND r.gone_at IS NULL
      AND (d.due_at IS NOT NULL OR m.only_seen_from IS NULL OR r.first_seen_at >= m.only_seen_from)
      AND NOT EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id AND x.message = d.message)
) AS missing
"""


def _add_missing(conn: Connection, now: datetime, names: list[str], flagged: _Flagged) -> None:
    run(
        conn,
        _ADD_MISSING.format(**vars(flagged)),
        now=now,
        names=names,
        called_off=Why.CALLED_OFF,
        suppressed=Why.SUPPRESSED,
        confirmed_elsewhere=Why.CONFIRMED_ELSEWHERE,
        useless=Why.USELESS_WHEN_PLANNED,
        due_before=Why.DUE_BEFORE_PLANNED,
    )


# Innermost: the newest editions, with what is true for them now. Middle: why not, if not. Outermost: the state
# that follows. A delivery that another replica takes on at this moment is left alone (`was`).
_BRING_UP_TO_DATE = """
UPDATE delivery SET state = f.state, reason = f.reason, urgency = f.urgency,
       due_at = f.due_at, expires_at = f.expires_at,
       next_attempt_at = CASE WHEN delivery.due_at = f.due_at AND delivery.state <> 'cancelled'
                              THEN delivery.next_attempt_at ELSE f.due_at END,
       lease_token = NULL
FROM (
    SELECT id, was, urgency, due_at, expires_at,
           CASE WHEN may_be_out AND cancel <> :superseded THEN was
                WHEN cancel <> '' THEN CASE WHEN was IN ('skipped', 'expired') THEN was ELSE 'cancelled' END
                WHEN was IN ('skipped', 'expired') AND (NOT moved OR skip <> '') THEN was
                WHEN skip <> '' THEN 'skipped'
                WHEN was = 'held' AND because <> :data THEN 'held'
                ELSE 'pending' END AS state,
           CASE WHEN may_be_out AND cancel <> :superseded THEN because
                WHEN cancel <> '' THEN CASE WHEN was IN ('skipped', 'expired') THEN because ELSE cancel END
                WHEN was = 'skipped' AND moved AND skip <> '' THEN skip
                WHEN was IN ('skipped', 'expired') AND (NOT moved OR skip <> '') THEN because
                WHEN skip <> '' THEN skip
                WHEN was = 'held' AND because <> :data THEN because
                ELSE '' END AS reason
    FROM (
        SELECT t.*,
               t.due_at <> t.was_due OR t.expires_at <> t.expired
                   OR because IN (:called_off, :suppressed, :confirmed_elsewhere) AS moved,
               was = 'held' AND because = :doubt AS may_be_out,
               CASE WHEN superseded THEN :superseded
                    WHEN gone_at IS NOT NULL THEN :row_deleted
                    WHEN s.address_folded IS NOT NULL THEN :suppressed
                    WHEN t.called_off AND t.message <> :cancellation THEN :called_off
                    WHEN NOT t.called_off AND t.message = :cancellation THEN :takes_place
                    WHEN planned IS NULL AND t.message NOT IN :notices THEN :message_removed
                    WHEN at_once AND t.first_seen_at < m.only_seen_from THEN :registered_before
                    ELSE '' END AS cancel,
               CASE WHEN t.never <> '' THEN t.never
                    WHEN t.expires_at <= :now THEN :useless
                    WHEN c.address_folded IS NOT NULL AND at_once THEN :confirmed_elsewhere
                    WHEN NOT at_once AND t.due_at < :now AND (t.due_at <> t.was_due OR was IN ('skipped', 'expired'))
                        THEN :due_before
                    ELSE '' END AS skip
        FROM (
            SELECT x.id, x.webinar, x.message, x.state AS was, x.reason AS because, x.due_at AS was_due,
                   x.expires_at AS expired, r.address_folded, r.first_seen_at, r.gone_at,
                   d.message AS planned, coalesce(d.never, '') AS never,
                   d.message IS NOT NULL AND d.due_at IS NULL AS at_once,
                   CASE WHEN d.message IS NULL THEN x.urgency WHEN d.due_at IS NULL THEN 0 ELSE 1 END AS urgency,
                   CASE WHEN d.message IS NULL THEN x.due_at
                        WHEN d.due_at IS NULL AND x.urgency > 0 THEN :now  -- it had a time of its own before
                        ELSE coalesce(d.due_at, x.due_at) END AS due_at,
                   CASE WHEN x.message IN :notices THEN w.ends_at
                        ELSE coalesce(d.expires_at, x.expires_at) END AS expires_at,
                   w.cancelled AS called_off,
                   EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                           AND y.message = x.message AND y.edition > x.edition) AS superseded
            FROM registration r{by}
            JOIN delivery x ON x.registration_id = r.id
            JOIN planned_webinar w ON w.webinar = r.webinar
            LEFT JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = x.message
            WHERE {condition} AND r.webinar IN :names
              AND x.state IN ('pending', 'held', 'skipped', 'expired', 'cancelled')
        ) AS t
        LEFT JOIN planned_message m ON m.webinar = t.webinar AND m.message = t.message
        LEFT JOIN suppression s ON s.address_folded = t.address_folded
        LEFT JOIN confirmed_elsewhere c ON c.webinar = t.webinar AND c.address_folded = t.address_folded
        WHERE was IN ('pending', 'held') OR NOT superseded
    ) AS facts
) AS f
WHERE delivery.id = f.id AND delivery.state = f.was
  AND (delivery.state <> f.state OR delivery.reason <> f.reason OR delivery.due_at <> f.due_at
       OR delivery.expires_at <> f.expires_at OR delivery.urgency <> f.urgency
       OR delivery.lease_token IS NOT NULL)
"""


def _bring_up_to_date(conn: Connection, now: datetime, names: list[str], flagged: _Flagged) -> None:
    """What is not out yet follows the facts; a lease on it ends, so that nothing stale is on its way."""
    run(
        conn,
        _BRING_UP_TO_DATE.format(**vars(flagged)),
        now=now,
        names=names,
        data=Why.DATA,
        doubt=Why.DOUBT,
        superseded=Why.SUPERSEDED,
        registered_before=Why.REGISTERED_BEFORE,
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


_MAY_BE_OUT = "(x.state IN ('sending', 'sent', 'in_doubt') OR x.state = 'held' AND x.reason = :doubt)"

# The next edition of what went out already. {due_at} and {expires_at} are SQL; {condition} picks among
# x (the newest edition of each message), r and d.
_NEXT_EDITION = f"""{_INSERT}
SELECT x.registration_id, x.webinar, x.message, x.edition + 1, 'pending', '', x.urgency,
       {{due_at}}, d.expires_at, {{due_at}}, 0, '', :now
FROM delivery x
JOIN registration r ON r.id = x.registration_id
JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = x.message
JOIN planned_webinar w ON w.webinar = r.webinar
LEFT JOIN suppression s ON s.address_folded = r.address_folded
WHERE {{condition}} AND r.gone_at IS NULL AND s.address_folded IS NULL AND NOT w.cancelled
  AND d.never = '' AND d.expires_at > :now
  AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                  AND y.message = x.message AND y.edition > x.edition)
"""


def _due_again(conn: Connection, now: datetime, edits: Iterable[Edit]) -> None:
    """A webinar that moved makes messages due again that went out for the old time."""
    condition = f"x.webinar = :webinar AND d.due_at >= :now AND {_MAY_BE_OUT}"
    sql = _NEXT_EDITION.format(due_at="d.due_at", condition=condition)
    for edit in edits:
        if edit.moved:
            run(conn, sql, now=now, webinar=edit.webinar.id, doubt=Why.DOUBT)


def _failures_elsewhere_forgotten(conn: Connection, now: datetime, ids: list[int]) -> None:
    """A changed address is a new recipient: what failed at the old one counts no more. Before anything else is
    decided, for the new address may be suppressed. What is due on registration gets a next edition instead."""
    if ids:
        run(
            conn,
            "UPDATE delivery SET attempts = 0, next_attempt_at = due_at, state = 'pending', reason = ''"
            " WHERE registration_id IN :ids AND expires_at > :now"
            " AND (state = 'failed' AND urgency > 0 OR state = 'pending' AND attempts > 0)"
            " AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = delivery.registration_id"
            " AND y.message = delivery.message AND y.edition > delivery.edition)",
            now=now,
            ids=ids,
        )


def _recipients_moved(conn: Connection, now: datetime, ids: list[int]) -> None:
    """A changed address is a new recipient: the confirmation again."""
    if ids:
        went_out = f"({_MAY_BE_OUT} OR x.state = 'failed')"
        condition = f"x.registration_id IN :ids AND d.due_at IS NULL AND {went_out}"
        sql = _NEXT_EDITION.format(due_at=":now", condition=condition)
        run(conn, sql, now=now, ids=ids, doubt=Why.DOUBT)


_NOTICE = f"""{_INSERT}
SELECT r.id, r.webinar, :notice,
       1 + coalesce((SELECT max(y.edition) FROM delivery y
                     WHERE y.registration_id = r.id AND y.message = :notice), 0),
       'pending', '', 0, :now, w.ends_at, :now, 0, '', :now
FROM registration r
JOIN planned_webinar w ON w.webinar = r.webinar
LEFT JOIN suppression s ON s.address_folded = r.address_folded
WHERE {{condition}} AND r.gone_at IS NULL AND s.address_folded IS NULL AND w.ends_at > :now
  AND EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id AND {_MAY_BE_OUT})
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
            sql = _NOTICE.format(condition=condition)
            run(conn, sql, now=now, notice=notice, webinar=edit.webinar.id, doubt=Why.DOUBT)
    if moved_link:
        condition = "r.id IN :ids AND NOT w.cancelled"
        sql = _NOTICE.format(condition=condition)
        run(conn, sql, now=now, notice=CHANGE, ids=moved_link, doubt=Why.DOUBT)
