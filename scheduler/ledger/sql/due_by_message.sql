{% from "conditions.sql" import free, no_edit_waits %}
-- The oldest of each message that is due of one webinar and that no edit keeps back, planned or not, among the first
-- that are due: however many are.
SELECT d.webinar, d.message, min(d.due_at) AS due_at, count(*) AS mails
FROM (SELECT d.webinar, d.message, d.urgency, d.due_at, d.expires_at, d.registration_id FROM delivery d
      WHERE d.webinar = :webinar AND d.urgency = :urgency AND {{ free("d") }} AND d.next_attempt_at <= :now
      ORDER BY d.next_attempt_at LIMIT :most) AS d
{{ join_next }} registration r ON r.id = d.registration_id
{{ join_next }} webinar w ON w.webinar = d.webinar
WHERE d.expires_at > :now AND {{ no_edit_waits() }}
GROUP BY d.webinar, d.message
