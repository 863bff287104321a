{% from "conditions.sql" import address_unknown, may_be_out, no_sequence, withdrawn %}
-- Add the next edition of messages that the people in ids were last sent for another start, if the new time is ahead.
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency,
                      due_at, expires_at, next_attempt_at, attempts, message_id, planned_at, for_start)
SELECT x.registration_id, x.webinar, x.message,
       1 + (SELECT max(y.edition) FROM delivery y
            WHERE y.registration_id = x.registration_id AND y.message = x.message),
       'pending', '', x.urgency, d.due_at, d.expires_at, d.due_at, 0, '', :now, w.starts_at
FROM {{ numbers("ids") }} AS c
{{ join_next }} registration r ON r.id = c.number
{{ join_next }} delivery x ON x.registration_id = r.id
JOIN webinar w ON w.webinar = r.webinar
JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = x.message
WHERE x.for_start <> w.starts_at AND d.due_at >= :now AND {{ may_be_out("x") }}
  AND r.gone_at IS NULL AND NOT w.cancelled AND NOT {{ withdrawn() }} AND NOT {{ no_sequence() }}
  AND NOT EXISTS (SELECT 1 FROM unwanted v WHERE v.webinar = r.webinar AND v.address_folded = r.address_folded
                  AND v.message = x.message)
  AND d.never = '' AND d.expires_at > :now AND NOT {{ address_unknown("r.id") }}
  AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                  AND y.message = x.message AND y.edition > x.edition
                  AND (y.state <> 'failed' OR y.for_start = w.starts_at))
