"""Who gets what, when: registrations joined to due times become deliveries, in set-based SQL.

Every step compares what is stored with what is true and closes the gap. Rows of `registrants` become registrations;
due times follow the revision that governs; then whoever was planned by an earlier plan, or changed since, is planned
in chunks. Nothing is claimed for people who still wait for that. What is sent, failed or in doubt is never touched; a
next edition is added where something is due again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from scheduler.database.engine import as_list, dialect, listed, may_plan, run
from scheduler.ledger.due_times import fill_in, plan_webinar, planned_for
from scheduler.ledger.states import Why
from scheduler.ledger.told import DIFFERS, LINK, MOVED
from scheduler.registrants.changes import Taken, take_changes
from scheduler.webinar import CANCELLATION, CHANGE, NOTICES, Webinar

MANY = 500  # rows in one transaction
CHUNK = 5000  # registrations planned in one transaction, at most


@dataclass(frozen=True)
class Governing:
    """The revision of a webinar that governs now."""

    webinar: Webinar
    revision_id: int
    plan: int
    sha256: str = ""
    """Of the file that the revision came from."""


def take_in(
    conn: Connection,
    now: datetime,
    governing: Mapping[str, Governing],
    return_within: timedelta,
    most: int | None = None,
    newest: bool = False,
) -> Taken:
    """Take in up to `most` changes of `registrants`, the oldest or the newest. Nothing, at once, where another service
    does."""
    if not may_plan(conn, "intake"):
        return Taken()
    webinars = {name: one.webinar for name, one in governing.items()}
    taken = take_changes(conn, now, webinars, return_within, limit=most, newest=newest)
    _new_recipients(conn, now, taken.moved_address)
    if taken.rows >= MANY:
        dialect(conn).many_rows_came(conn, "registration", "due_time", "planned_message")
    return taken


def waiting(conn: Connection) -> dict[str, bool]:
    """The webinars in which people wait to be planned, and whether some do because something about them changed: of
    the others the webinar has. It costs the same however many webinars there are with nothing to do."""
    found = run(
        conn,
        "SELECT webinar, 0 AS waits FROM webinar WHERE behind AND status <> 'ended' UNION ALL"
        # Where nobody waits, there is nothing to join the webinars to.
        " SELECT w.webinar, 1 FROM (SELECT 1 FROM registration WHERE plan = 0 LIMIT 1) AS one"
        " CROSS JOIN webinar w WHERE w.status <> 'ended'"
        " AND EXISTS (SELECT 1 FROM registration r WHERE r.webinar = w.webinar AND r.plan = 0)"
        " ORDER BY webinar, waits",
    )
    return {row.webinar: bool(row.waits) for row in found}


def plan_people(conn: Connection, now: datetime, governing: Governing, most: int = CHUNK) -> int:
    """Plan up to `most` people of one webinar, those about whom something changed first. Returns how many; 0 where
    another service plans it."""
    name, number = governing.webinar.id, governing.plan
    present = run(conn, "SELECT plan, behind FROM webinar WHERE webinar = :name", name=name).first()
    if not may_plan(conn, name) or present is None or present.plan != number:
        return 0
    if planned_for(conn, name) != number:
        plan_webinar(conn, now, governing.webinar, number)
    people = _plan_chunk(conn, now, governing, most)
    if present.behind and people < most:
        run(
            conn,
            "UPDATE webinar SET behind = FALSE WHERE webinar = :name AND plan = :number AND NOT EXISTS"
            " (SELECT 1 FROM registration r WHERE r.webinar = :name AND r.plan < :number AND r.plan > 0)",
            name=name,
            number=number,
        )
    return people


def plan(
    conn: Connection, now: datetime, governing: Mapping[str, Governing], return_within: timedelta
) -> bool:
    """All of it in this one transaction, as far as one chunk of each webinar goes. True when there may be more."""
    more = take_in(conn, now, governing, return_within).more
    for name in waiting(conn):
        if name in governing:
            more |= plan_people(conn, now, governing[name]) > 0
    return more


def _plan_chunk(conn: Connection, now: datetime, governing: Governing, most: int) -> int:
    chunk = run(
        conn,
        "SELECT id, zone FROM registration WHERE webinar = :webinar AND plan < :plan"
        f" ORDER BY plan LIMIT :most {dialect(conn).update_skipping}",
        webinar=governing.webinar.id,
        plan=governing.plan,
        most=most,
    ).all()
    if not chunk:
        return 0
    fill_in(conn, governing.webinar, {row.zone for row in chunk} - {""})
    ids = as_list(conn, sorted(row.id for row in chunk))
    for statement in (
        _BRING_UP_TO_DATE,
        _ADD_MISSING,
        _SEND_AGAIN,
        _TOLD_ELSEWHERE,
        _NOTICES,
        _LINKS_SETTLED,
    ):
        _execute(conn, statement, now=now, ids=ids)
    if len(chunk) >= MANY:
        dialect(conn).many_rows_came(conn, "delivery", "told")
    run(
        conn,
        f"UPDATE registration SET plan = :plan WHERE id IN {listed(conn, 'ids')}",
        plan=governing.plan,
        ids=ids,
    )
    return len(chunk)


def _execute(conn: Connection, statement: str, **values: object) -> None:
    """One of the statements below, with the reasons and constants that it names."""
    engine = dialect(conn)
    sql = statement.format(people=f"{listed(conn, 'ids')} AS c", join=engine.join_next)
    run(conn, sql, **{name: value for name, value in (_CONSTANTS | values).items() if f":{name}" in sql})


_CONSTANTS: dict[str, object] = {"why_" + why.name.lower(): why.value for why in Why} | {
    "notices": NOTICES,
    "change": CHANGE,
    "cancellation": CANCELLATION,
}

_INSERT = """
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency,
                      due_at, expires_at, next_attempt_at, attempts, message_id, planned_at, for_start)"""

# {people} is a table of the ids of a chunk of registrations; {join} keeps SQLite to the order of the tables.
_ADD_MISSING = f"""{_INSERT}
SELECT registration_id, webinar, message, 0, CASE WHEN reason = '' THEN 'pending' ELSE 'skipped' END, reason,
       urgency, due_at, expires_at, due_at, 0, '', :now, starts_at
FROM (
    SELECT r.id AS registration_id, r.webinar, d.message, w.starts_at,
           CASE WHEN d.due_at IS NULL THEN 0 ELSE 1 END AS urgency,
           coalesce(d.due_at, :now) AS due_at, d.expires_at,
           CASE WHEN w.cancelled THEN :why_called_off
                WHEN s.address_folded IS NOT NULL THEN :why_suppressed
                WHEN d.due_at IS NULL AND e.address_folded IS NOT NULL THEN :why_confirmed_elsewhere
                WHEN d.never <> '' THEN d.never
                WHEN d.expires_at <= :now THEN :why_useless_when_planned
                WHEN d.due_at < :now THEN :why_due_before_planned
                ELSE '' END AS reason
    FROM {{people}} {{join}} registration r ON r.id = c.number
    {{join}} planned_message m ON m.webinar = r.webinar AND m.in_sequence
    JOIN due_time d ON d.webinar = r.webinar AND d.message = m.message AND d.zone = r.zone
    JOIN webinar w ON w.webinar = r.webinar
    LEFT JOIN suppression s ON s.address_folded = r.address_folded
    LEFT JOIN confirmed_elsewhere e ON e.webinar = r.webinar AND e.address_folded = r.address_folded
    WHERE r.gone_at IS NULL
      AND (d.due_at IS NOT NULL OR m.only_seen_from IS NULL OR r.first_seen_at >= m.only_seen_from)
      AND NOT EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id AND x.message = d.message)
) AS missing
"""

_DOUBTFUL = "({x}.state = 'held' AND {x}.reason IN (:why_doubt, :why_restored))"
_MAY_BE_OUT = f"({{x}}.state IN ('sending', 'sent', 'in_doubt') OR {_DOUBTFUL})"
_STILL_TO_GO = f"({{x}}.state IN ('pending', 'sending', 'held') AND NOT {_DOUBTFUL})"
_ON_REGISTRATION = (
    "SELECT 1 FROM delivery k WHERE k.registration_id = r.id AND k.urgency = 0 AND k.message NOT IN :notices"
)
# What is held, as for want of a text, keeps nothing from somebody who was confirmed before.
_CONFIRMATION_TO_GO = (
    f"(EXISTS ({_ON_REGISTRATION} AND k.state IN ('pending', 'sending'))"
    f" OR EXISTS ({_ON_REGISTRATION} AND {_STILL_TO_GO.format(x='k')})"
    f" AND NOT EXISTS ({_ON_REGISTRATION} AND {_MAY_BE_OUT.format(x='k')}))"
)
_TOLD_OTHERWISE = f"EXISTS (SELECT 1 FROM told t WHERE t.uid = r.uid AND {DIFFERS})"
# A changed link of one's own waits as an edit does; another time or status does not wait for it.
_LINK_WAITS = f"(r.link_until > :now AND NOT EXISTS (SELECT 1 FROM told t WHERE t.uid = r.uid AND {MOVED}))"

# Innermost: the newest editions, with what is true for them now. Middle: why not, if not. Outermost: the state
# that follows. A delivery that another replica takes on at this moment is left alone (`was`). MATERIALIZED keeps SQLite
# from going through all deliveries for each person.
_BRING_UP_TO_DATE = f"""
WITH f AS MATERIALIZED (
    SELECT id, was, urgency, due_at, expires_at, starts_at, for_end, for_link,
           CASE WHEN may_be_out AND cancel <> :why_superseded THEN was
                WHEN cancel <> '' THEN CASE WHEN was IN ('skipped', 'expired') THEN was ELSE 'cancelled' END
                WHEN was IN ('skipped', 'expired') AND (NOT moved OR skip <> '') THEN was
                WHEN skip <> '' THEN 'skipped'
                WHEN was = 'held' AND because <> :why_data THEN 'held'
                ELSE 'pending' END AS state,
           CASE WHEN may_be_out AND cancel <> :why_superseded THEN because
                WHEN cancel <> '' THEN CASE WHEN was IN ('skipped', 'expired') THEN because ELSE cancel END
                WHEN was = 'skipped' AND moved AND skip <> '' THEN skip
                WHEN was IN ('skipped', 'expired') AND (NOT moved OR skip <> '') THEN because
                WHEN skip <> '' THEN skip
                WHEN was = 'held' AND because <> :why_data THEN because
                ELSE '' END AS reason
    FROM (
        SELECT n.*,
               n.due_at <> n.was_due OR n.expires_at <> n.expired
                   OR because IN (:why_called_off, :why_suppressed, :why_confirmed_elsewhere) AS moved,
               was = 'held' AND because IN (:why_doubt, :why_restored) AS may_be_out,
               CASE WHEN superseded THEN :why_superseded
                    WHEN gone_at IS NOT NULL THEN :why_row_deleted
                    WHEN s.address_folded IS NOT NULL THEN :why_suppressed
                    WHEN n.called_off AND n.message <> :cancellation THEN :why_called_off
                    WHEN NOT n.called_off AND n.message = :cancellation THEN :why_takes_place
                    WHEN n.message IN :notices THEN n.needless
                    WHEN planned IS NULL THEN :why_message_removed
                    WHEN at_once AND n.first_seen_at < m.only_seen_from THEN :why_registered_before
                    WHEN went_out THEN :why_went_out
                    ELSE '' END AS cancel,
               CASE WHEN n.never <> '' THEN n.never
                    WHEN n.expires_at <= :now THEN :why_useless_when_planned
                    WHEN e.address_folded IS NOT NULL AND at_once THEN :why_confirmed_elsewhere
                    WHEN planned IS NOT NULL AND NOT at_once AND n.due_at < :now
                         AND (n.due_at <> n.was_due OR was IN ('skipped', 'expired'))
                        THEN :why_due_before_planned
                    ELSE '' END AS skip
        FROM (
            SELECT x.id, x.webinar, x.message, x.state AS was, x.reason AS because, x.due_at AS was_due,
                   x.expires_at AS expired, r.address_folded, r.first_seen_at, r.gone_at,
                   CASE WHEN {_DOUBTFUL.format(x="x")} THEN x.for_start ELSE w.starts_at END AS starts_at,
                   CASE WHEN {_DOUBTFUL.format(x="x")} THEN x.for_end
                        WHEN x.message = :change THEN w.ends_at END AS for_end,
                   CASE WHEN {_DOUBTFUL.format(x="x")} THEN x.for_link
                        WHEN x.message = :change THEN {LINK} ELSE '' END AS for_link,
                   d.message AS planned, coalesce(d.never, '') AS never,
                   d.message IS NOT NULL AND d.due_at IS NULL AS at_once,
                   CASE WHEN d.message IS NULL THEN x.urgency WHEN d.due_at IS NULL THEN 0 ELSE 1 END AS urgency,
                   CASE WHEN x.message = :change AND x.due_at > :now AND NOT {_LINK_WAITS} THEN :now
                        WHEN x.message = :change AND {_LINK_WAITS} THEN r.link_until
                        WHEN d.message IS NULL THEN x.due_at
                        WHEN d.due_at IS NULL AND x.urgency > 0 THEN :now  -- it had a time of its own before
                        ELSE coalesce(d.due_at, x.due_at) END AS due_at,
                   CASE WHEN x.message IN :notices THEN w.ends_at
                        ELSE coalesce(d.expires_at, x.expires_at) END AS expires_at,
                   w.cancelled AS called_off,
                   CASE WHEN x.message NOT IN :notices THEN ''
                        WHEN NOT {_TOLD_OTHERWISE} THEN :why_up_to_date
                        WHEN {_CONFIRMATION_TO_GO} THEN :why_confirmation_says_it
                        ELSE '' END AS needless,
                   d.due_at IS NOT NULL AND x.edition > 0 AND EXISTS (SELECT 1 FROM delivery y
                           WHERE y.registration_id = x.registration_id AND y.message = x.message
                           AND y.edition < x.edition AND y.for_start = w.starts_at
                           AND {_MAY_BE_OUT.format(x="y")}
                           AND NOT EXISTS (SELECT 1 FROM delivery z WHERE z.registration_id = y.registration_id
                               AND z.message = y.message AND z.edition > y.edition AND z.edition < x.edition
                               AND {_MAY_BE_OUT.format(x="z")})) AS went_out,
                   EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                           AND y.message = x.message AND y.edition > x.edition) AS superseded
            FROM {{people}} {{join}} registration r ON r.id = c.number
            {{join}} delivery x ON x.registration_id = r.id
            JOIN webinar w ON w.webinar = r.webinar
            LEFT JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = x.message
            WHERE x.state IN ('pending', 'held')
               OR x.state IN ('skipped', 'expired', 'cancelled') AND x.message NOT IN :notices
        ) AS n
        LEFT JOIN planned_message m ON m.webinar = n.webinar AND m.message = n.message
        LEFT JOIN suppression s ON s.address_folded = n.address_folded
        LEFT JOIN confirmed_elsewhere e ON e.webinar = n.webinar AND e.address_folded = n.address_folded
        WHERE was IN ('pending', 'held') OR NOT superseded
    ) AS facts
)
UPDATE delivery SET state = f.state, reason = f.reason, urgency = f.urgency,
       due_at = f.due_at, expires_at = f.expires_at,
       next_attempt_at = CASE WHEN delivery.due_at = f.due_at AND delivery.state <> 'cancelled'
                              THEN delivery.next_attempt_at ELSE f.due_at END,
       lease_token = NULL, for_start = f.starts_at, for_end = f.for_end, for_link = f.for_link
FROM f
WHERE delivery.id = f.id AND delivery.state = f.was
  AND (delivery.state <> f.state OR delivery.reason <> f.reason OR delivery.due_at <> f.due_at
       OR delivery.expires_at <> f.expires_at OR delivery.urgency <> f.urgency OR delivery.lease_token IS NOT NULL
       OR delivery.for_start <> f.starts_at OR delivery.for_end <> f.for_end OR delivery.for_link <> f.for_link)
"""

# A message that last went out for another start, and whose new time is still ahead.
_SEND_AGAIN = f"""{_INSERT}
SELECT x.registration_id, x.webinar, x.message,
       1 + (SELECT max(y.edition) FROM delivery y
            WHERE y.registration_id = x.registration_id AND y.message = x.message),
       'pending', '', x.urgency, d.due_at, d.expires_at, d.due_at, 0, '', :now, w.starts_at
FROM {{people}} {{join}} registration r ON r.id = c.number
{{join}} delivery x ON x.registration_id = r.id
JOIN webinar w ON w.webinar = r.webinar
JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = x.message
LEFT JOIN suppression s ON s.address_folded = r.address_folded
WHERE x.for_start <> w.starts_at AND d.due_at >= :now AND {_MAY_BE_OUT.format(x="x")}
  AND r.gone_at IS NULL AND s.address_folded IS NULL AND NOT w.cancelled
  AND d.never = '' AND d.expires_at > :now
  AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                  AND y.message = x.message AND y.edition > x.edition
                  AND (y.state <> 'failed' OR y.for_start = w.starts_at))
"""

# Another system told them what is true now.
_TOLD_ELSEWHERE = f"""
INSERT INTO told (uid, delivery_id, starts_at, ends_at, join_url, cancelled, invited, accepted)
SELECT r.uid, 0, w.starts_at, w.ends_at, {LINK}, w.cancelled, FALSE, TRUE
FROM {{people}} {{join}} registration r ON r.id = c.number
JOIN webinar w ON w.webinar = r.webinar
JOIN confirmed_elsewhere e ON e.webinar = r.webinar AND e.address_folded = r.address_folded
WHERE r.gone_at IS NULL AND NOT EXISTS (SELECT 1 FROM told t WHERE t.uid = r.uid)
"""

_SAYS_WHAT_IS_TRUE = (
    f"(w.cancelled AND l.message = :cancellation OR NOT w.cancelled AND l.message = :change"
    f" AND l.for_start = w.starts_at AND l.for_end = w.ends_at AND l.for_link = {LINK})"
)
# Another mail told something after the notice l: a confirmation to a corrected address, say.
_TOLD_LATER = (
    "EXISTS (SELECT 1 FROM told t JOIN attempt a ON a.delivery_id = t.delivery_id AND a.lease_token = t.lease_token"
    " WHERE t.uid = r.uid AND t.delivery_id <> l.id"
    " AND a.id > coalesce((SELECT max(b.id) FROM attempt b WHERE b.delivery_id = l.id), a.id))"
)
# To whoever was told anything that is not true. None repeats what the person's last notice said, however that ended.
_NOTICES = f"""
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency, due_at, expires_at,
                      next_attempt_at, attempts, message_id, planned_at, for_start, for_end, for_link)
SELECT id, webinar, message,
       1 + coalesce((SELECT max(y.edition) FROM delivery y
                     WHERE y.registration_id = due.id AND y.message = due.message), 0),
       'pending', '', 0, due_at, ends_at, due_at, 0, '', :now, starts_at,
       CASE WHEN message = :change THEN ends_at END, CASE WHEN message = :change THEN link ELSE '' END
FROM (
    SELECT r.id, r.webinar, w.starts_at, w.ends_at, {LINK} AS link,
           CASE WHEN w.cancelled THEN :cancellation ELSE :change END AS message,
           CASE WHEN NOT w.cancelled AND {_LINK_WAITS} THEN r.link_until ELSE :now END AS due_at
    FROM {{people}} {{join}} registration r ON r.id = c.number
    JOIN webinar w ON w.webinar = r.webinar
    LEFT JOIN suppression s ON s.address_folded = r.address_folded
    WHERE r.gone_at IS NULL AND s.address_folded IS NULL AND w.ends_at > :now
      AND {_TOLD_OTHERWISE} AND NOT {_CONFIRMATION_TO_GO}
      AND NOT EXISTS (SELECT 1 FROM delivery l WHERE l.registration_id = r.id AND l.message IN :notices
                      AND l.state <> 'cancelled'
                      AND (l.state IN ('pending', 'held') AND NOT {_DOUBTFUL.format(x="l")}
                           OR {_SAYS_WHAT_IS_TRUE} AND NOT {_TOLD_LATER})
                      AND NOT EXISTS (SELECT 1 FROM delivery z WHERE z.registration_id = r.id
                          AND z.message IN :notices AND z.state <> 'cancelled' AND z.id > l.id))
) AS due
"""

# A link that was corrected before anybody was notified has never changed.
_LINKS_SETTLED = """
UPDATE registration SET link_since = NULL, link_until = NULL
WHERE id IN (SELECT r.id FROM {people} {join} registration r ON r.id = c.number WHERE r.link_until IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id AND x.message = :change
                             AND x.state = 'pending' AND x.due_at > :now))
"""


def _new_recipients(conn: Connection, now: datetime, ids: list[int]) -> None:
    """A changed address is a new recipient: what failed at the old one counts no more, and what is due on
    registration, if it went out, goes out again."""
    if not ids:
        return
    newest = (
        "NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id"
        " AND y.message = x.message AND y.edition > x.edition)"
    )
    run(
        conn,
        "UPDATE delivery SET attempts = 0, next_attempt_at = due_at, state = 'pending', reason = ''"
        " WHERE id IN (SELECT x.id FROM delivery x WHERE x.registration_id IN :ids AND x.expires_at > :now"
        f" AND (x.state = 'failed' AND x.urgency > 0 OR x.state = 'pending' AND x.attempts > 0) AND {newest})",
        now=now,
        ids=ids,
    )
    run(
        conn,
        f"""{_INSERT}
        SELECT x.registration_id, x.webinar, x.message, x.edition + 1, 'pending', '', 0, :now, w.ends_at, :now, 0, '',
               :now, w.starts_at
        FROM delivery x
        JOIN registration r ON r.id = x.registration_id
        JOIN webinar w ON w.webinar = x.webinar
        WHERE x.registration_id IN :ids AND x.urgency = 0 AND x.message NOT IN :notices AND w.ends_at > :now
          AND ({_MAY_BE_OUT.format(x="x")} OR x.state = 'failed') AND {newest}
          AND NOT EXISTS (SELECT 1 FROM suppression s WHERE s.address_folded = r.address_folded)""",
        now=now,
        ids=ids,
        notices=NOTICES,
        why_doubt=Why.DOUBT,
        why_restored=Why.RESTORED,
    )
