{% from "conditions.sql" import address_unknown, unsubscribed, withdrawn %}
-- Add deliveries of messages in the sequence for which the people in ids have none.
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency,
                      due_at, expires_at, next_attempt_at, attempts, message_id, planned_at, for_start)
SELECT registration_id, webinar, message, 0, CASE WHEN reason = '' THEN 'pending' ELSE 'skipped' END, reason,
       urgency, due_at, expires_at, due_at, 0, '', :now, starts_at
FROM (
    SELECT r.id AS registration_id, r.webinar, d.message, w.starts_at,
           CASE WHEN d.due_at IS NULL THEN 0 ELSE 1 END AS urgency,
           coalesce(d.due_at, :now) AS due_at, d.expires_at,
           CASE WHEN w.cancelled THEN {{ why.webinar_cancelled }}
                WHEN s.address_folded IS NOT NULL THEN {{ why.suppressed }}
                WHEN {{ withdrawn() }} THEN {{ why.withdrawn }}
                WHEN {{ unsubscribed() }} THEN {{ why.unsubscribed }}
                WHEN v.message IS NOT NULL THEN {{ why.unwanted }}
                WHEN d.due_at IS NULL AND e.address_folded IS NOT NULL THEN {{ why.confirmed_elsewhere }}
                WHEN d.never <> '' THEN d.never
                WHEN d.expires_at <= :now THEN {{ why.useless_when_planned }}
                WHEN d.due_at < :now THEN {{ why.due_before_planned }}
                WHEN {{ address_unknown("r.id") }} THEN {{ why.unknown_address }}
                ELSE '' END AS reason
    FROM {{ numbers("ids") }} AS c
    {{ join_next }} registration r ON r.id = c.number
    {{ join_next }} planned_message m ON m.webinar = r.webinar AND m.in_sequence
    {{ join_next }} due_time d ON d.webinar = r.webinar AND d.message = m.message AND d.zone = r.zone
    JOIN webinar w ON w.webinar = r.webinar
    LEFT JOIN suppression s ON s.address_folded = r.address_folded AND s.webinar = ''
    LEFT JOIN unwanted v ON v.webinar = r.webinar AND v.address_folded = r.address_folded AND v.message = d.message
    LEFT JOIN confirmed_elsewhere e ON e.webinar = r.webinar AND e.address_folded = r.address_folded
    WHERE r.gone_at IS NULL
      AND (d.due_at IS NOT NULL OR m.only_seen_from IS NULL OR r.first_seen_at >= m.only_seen_from)
      AND NOT EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id AND x.message = d.message)
) AS missing
