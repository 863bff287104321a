{% from "conditions.sql" import may_be_out, no_sequence %}
-- Add the next edition of messages due on registration that went out before the address changed: it is a new recipient.
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency,
                      due_at, expires_at, next_attempt_at, attempts, message_id, planned_at, for_start)
SELECT x.registration_id, x.webinar, x.message, x.edition + 1, 'pending', '', 0,
       :now, w.ends_at, :now, 0, '', :now, w.starts_at
FROM {{ numbers("ids") }} AS c
{{ join_next }} registration r ON r.id = c.number
{{ join_next }} delivery x ON x.registration_id = r.id
JOIN webinar w ON w.webinar = x.webinar
WHERE x.urgency = 0 AND x.message NOT IN {{ notices }} AND w.ends_at > :now
  AND ({{ may_be_out("x") }} OR x.state = 'failed')
  AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                  AND y.message = x.message AND y.edition > x.edition)
  AND NOT {{ no_sequence() }}
