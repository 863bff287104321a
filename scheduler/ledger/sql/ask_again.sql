{% from "conditions.sql" import still_to_go %}
-- Add the next edition of a message for the people in ids, due at once, unless one is still to go.
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency, due_at, expires_at,
                      next_attempt_at, attempts, message_id, planned_at, for_start, asked_by)
SELECT r.id, r.webinar, d.message,
       coalesce((SELECT max(y.edition) + 1 FROM delivery y WHERE y.registration_id = r.id AND y.message = d.message),
                0),
       'pending', '', CASE WHEN d.due_at IS NULL THEN 0 ELSE 1 END,
       :now, CASE WHEN d.expires_at < w.ends_at THEN w.ends_at ELSE d.expires_at END,
       :now, 0, '', :now, w.starts_at, :asked_by
FROM {{ numbers("ids") }} AS c
{{ join_next }} registration r ON r.id = c.number
JOIN webinar w ON w.webinar = r.webinar
JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = :message
WHERE NOT EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id AND x.message = d.message
                  AND {{ still_to_go("x") }})
