{% from "conditions.sql" import address_unknown, confirmation_to_go, doubtful, link, link_waits, may_be_out, told_otherwise %}
{% from "conditions.sql" import unsubscribed %}
-- Update unsent deliveries of the people in ids to current facts.
-- Materialized: each condition of `newest` is evaluated once for each delivery, and SQLite does not scan all deliveries
-- for each person.
WITH newest AS MATERIALIZED (
    SELECT x.id, x.webinar, x.message, x.state AS was, x.reason AS because, x.due_at AS was_due, x.asked_by,
           x.expires_at AS expired, r.address_folded, r.first_seen_at, r.gone_at,
           {{ doubtful("x") }} AS doubtful, w.cancelled AS webinar_cancelled,
           CASE WHEN {{ doubtful("x") }} THEN x.for_start ELSE w.starts_at END AS for_start,
           CASE WHEN {{ doubtful("x") }} THEN x.for_end
                WHEN x.message = {{ change }} THEN w.ends_at END AS for_end,
           CASE WHEN {{ doubtful("x") }} THEN x.for_link
                WHEN x.message = {{ change }} THEN {{ link() }} ELSE '' END AS for_link,
           {{ address_unknown("x.registration_id") }} AS unknown,
           d.message AS planned, coalesce(d.never, '') AS never,
           d.message IS NOT NULL AND d.due_at IS NULL AS at_once,
           CASE WHEN d.message IS NULL THEN x.urgency WHEN d.due_at IS NULL THEN 0 ELSE 1 END AS urgency,
           CASE WHEN x.asked_by <> '' THEN x.due_at
                WHEN x.message = {{ change }} AND {{ link_waits() }} THEN r.link_until
                WHEN x.message = {{ change }} AND x.due_at > :now THEN :now
                WHEN d.message IS NULL THEN x.due_at
                WHEN d.due_at IS NULL AND x.urgency > 0 THEN :now  -- it was not due on registration before
                ELSE coalesce(d.due_at, x.due_at) END AS due_at,
           CASE WHEN x.message IN {{ notices }} OR x.asked_by <> '' AND d.expires_at < w.ends_at THEN w.ends_at
                ELSE coalesce(d.expires_at, x.expires_at) END AS expires_at,
           CASE WHEN x.message NOT IN {{ notices }} THEN ''
                WHEN NOT {{ told_otherwise() }}
                    THEN CASE WHEN {{ unsubscribed() }} THEN {{ why.unsubscribed }} ELSE {{ why.up_to_date }} END
                WHEN {{ confirmation_to_go() }} THEN {{ why.confirmation_says_it }}
                ELSE '' END AS needless,
           d.due_at IS NOT NULL AND x.edition > 0 AND x.asked_by = ''
           AND EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                       AND y.message = x.message AND y.edition < x.edition AND y.for_start = w.starts_at
                       AND {{ may_be_out("y") }}
                       AND NOT EXISTS (SELECT 1 FROM delivery z WHERE z.registration_id = y.registration_id
                                       AND z.message = y.message AND z.edition > y.edition
                                       AND z.edition < x.edition AND {{ may_be_out("z") }})) AS went_out,
           EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                   AND y.message = x.message AND y.edition > x.edition) AS superseded
    FROM {{ numbers("ids") }} AS c
    {{ join_next }} registration r ON r.id = c.number
    {{ join_next }} delivery x ON x.registration_id = r.id
    JOIN webinar w ON w.webinar = r.webinar
    LEFT JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = x.message
    WHERE x.state IN ('pending', 'held')
       OR x.state IN ('skipped', 'expired', 'cancelled') AND x.message NOT IN {{ notices }}
),
-- The reasons for which a delivery is cancelled or skipped, if any.
reasons AS (
    SELECT n.*,
           n.due_at <> n.was_due OR n.expires_at <> n.expired
           OR n.because IN ({{ why.webinar_cancelled }}, {{ why.suppressed }}, {{ why.confirmed_elsewhere }},
                            {{ why.unknown_address }}, {{ why.withdrawn }}, {{ why.unsubscribed }},
                            {{ why.unwanted }}) AS moved,
           CASE WHEN n.superseded THEN {{ why.superseded }}
                WHEN n.gone_at IS NOT NULL THEN {{ why.row_deleted }}
                WHEN s.address_folded IS NOT NULL THEN {{ why.suppressed }}
                WHEN n.webinar_cancelled AND n.message <> {{ cancellation }} THEN {{ why.webinar_cancelled }}
                WHEN NOT n.webinar_cancelled AND n.message = {{ cancellation }} THEN {{ why.takes_place }}
                WHEN o.withdrawn_at IS NULL AND n.message = {{ withdrawal }} THEN {{ why.up_to_date }}
                WHEN o.withdrawn_at IS NOT NULL AND n.message NOT IN ({{ cancellation }}, {{ withdrawal }})
                    THEN {{ why.withdrawn }}
                WHEN u.address_folded IS NOT NULL AND n.message NOT IN {{ notices }} AND n.asked_by <> 'registrant'
                    THEN {{ why.unsubscribed }}
                WHEN n.message IN {{ notices }} AND n.unknown THEN {{ why.unknown_address }}
                WHEN n.message IN {{ notices }} THEN n.needless
                WHEN n.planned IS NULL THEN {{ why.message_removed }}
                WHEN n.asked_by = '' AND v.message IS NOT NULL THEN {{ why.unwanted }}
                WHEN n.at_once AND n.asked_by = '' AND n.first_seen_at < m.only_seen_from
                    THEN {{ why.registered_before }}
                WHEN n.went_out THEN {{ why.went_out }}
                ELSE '' END AS cancel,
           CASE WHEN n.never <> '' AND n.asked_by = '' THEN n.never
                WHEN n.expires_at <= :now THEN {{ why.useless_when_planned }}
                WHEN n.at_once AND n.asked_by = '' AND e.address_folded IS NOT NULL
                    THEN {{ why.confirmed_elsewhere }}
                WHEN n.unknown THEN {{ why.unknown_address }}
                WHEN n.planned IS NOT NULL AND NOT n.at_once AND n.asked_by = '' AND n.due_at < :now
                     AND (n.due_at <> n.was_due OR n.was IN ('skipped', 'expired'))
                    THEN {{ why.due_before_planned }}
                ELSE '' END AS skip
    FROM newest n
    LEFT JOIN planned_message m ON m.webinar = n.webinar AND m.message = n.message
    LEFT JOIN suppression s ON s.address_folded = n.address_folded AND s.webinar = ''
    LEFT JOIN suppression u ON u.address_folded = n.address_folded AND u.webinar = n.webinar
    LEFT JOIN choice o ON o.webinar = n.webinar AND o.address_folded = n.address_folded
    LEFT JOIN unwanted v ON v.webinar = n.webinar AND v.address_folded = n.address_folded AND v.message = n.message
    LEFT JOIN confirmed_elsewhere e ON e.webinar = n.webinar AND e.address_folded = n.address_folded
    WHERE n.was IN ('pending', 'held') OR NOT n.superseded
),
decisions AS (
    SELECT *,
           CASE WHEN doubtful AND cancel <> {{ why.superseded }} THEN 'leave'
                WHEN cancel <> '' THEN CASE WHEN was IN ('skipped', 'expired') THEN 'leave' ELSE 'cancel' END
                WHEN was IN ('skipped', 'expired') AND NOT moved THEN 'leave'
                WHEN was = 'expired' AND skip <> '' THEN 'leave'
                WHEN skip <> '' THEN 'skip'
                WHEN was = 'held' AND because <> {{ why.data }} THEN 'leave'
                ELSE 'send' END AS decision
    FROM reasons
),
f AS MATERIALIZED (
    SELECT id, was, urgency, due_at, expires_at, for_start, for_end, for_link,
           CASE decision WHEN 'leave' THEN was WHEN 'cancel' THEN 'cancelled'
                         WHEN 'skip' THEN 'skipped' ELSE 'pending' END AS state,
           CASE decision WHEN 'leave' THEN because WHEN 'cancel' THEN cancel
                         WHEN 'skip' THEN skip ELSE '' END AS reason
    FROM decisions
)
-- A delivery that another replica changed since it was read (`was`) is left alone.
UPDATE delivery
SET state = f.state, reason = f.reason, urgency = f.urgency, due_at = f.due_at, expires_at = f.expires_at,
    next_attempt_at = CASE WHEN delivery.due_at = f.due_at AND delivery.state <> 'cancelled'
                           THEN delivery.next_attempt_at ELSE f.due_at END,
    lease_token = NULL, for_start = f.for_start, for_end = f.for_end, for_link = f.for_link
FROM f
WHERE delivery.id = f.id AND delivery.state = f.was
  AND (delivery.state <> f.state OR delivery.reason <> f.reason OR delivery.due_at <> f.due_at
       OR delivery.expires_at <> f.expires_at OR delivery.urgency <> f.urgency OR delivery.lease_token IS NOT NULL
       OR delivery.for_start <> f.for_start OR delivery.for_end <> f.for_end OR delivery.for_link <> f.for_link)
