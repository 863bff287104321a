{% from "conditions.sql" import free, no_edit_waits %}
-- The oldest of each message that was due and is tried again later, among the first that come; and how many of those
-- became due since then.
SELECT d.webinar, d.message, min(d.due_at) AS due_at, sum(CASE WHEN d.due_at > :since THEN 1 ELSE 0 END) AS mails
FROM (SELECT d.webinar, d.message, d.urgency, d.due_at, d.expires_at, d.registration_id FROM delivery d
      WHERE d.urgency = :urgency AND {{ free("d") }} AND d.next_attempt_at > :now
      ORDER BY d.next_attempt_at LIMIT :most) AS d
{{ join_next }} registration r ON r.id = d.registration_id
{{ join_next }} webinar w ON w.webinar = d.webinar
WHERE d.due_at <= :now AND d.expires_at > :now AND w.status = 'live' AND {{ no_edit_waits() }}
GROUP BY d.webinar, d.message
