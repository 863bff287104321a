{% from "conditions.sql" import free, no_edit_waits %}
-- The oldest delivery of each message of one webinar among the first most that are due, and their number; planned or
-- not, but without those that wait for an edit.
SELECT first.webinar, first.message, min(first.due_at) AS due_at, count(*) AS mails
FROM (SELECT d.webinar, d.message, d.urgency, d.due_at, d.expires_at, d.registration_id FROM delivery d
      WHERE d.webinar = :webinar AND d.urgency = :urgency AND {{ free("d") }} AND d.next_attempt_at <= :now
      ORDER BY d.next_attempt_at LIMIT :most) AS first
{{ join_next }} registration r ON r.id = first.registration_id
{{ join_next }} webinar w ON w.webinar = first.webinar
WHERE first.expires_at > :now AND {{ no_edit_waits("first") }}
GROUP BY first.webinar, first.message
