{% from "conditions.sql" import free, no_edit_waits %}
-- The oldest delivery of each message that was due and is tried again later, among the next most; and how many of them
-- became due after since.
SELECT first.webinar, first.message, min(first.due_at) AS due_at,
       sum(CASE WHEN first.due_at > :since THEN 1 ELSE 0 END) AS mails
FROM (SELECT d.webinar, d.message, d.urgency, d.due_at, d.expires_at, d.registration_id FROM delivery d
      WHERE d.urgency = :urgency AND {{ free("d") }} AND d.next_attempt_at > :now
      ORDER BY d.next_attempt_at LIMIT :most) AS first
{{ join_next }} registration r ON r.id = first.registration_id
{{ join_next }} webinar w ON w.webinar = first.webinar
WHERE first.due_at <= :now AND first.expires_at > :now AND w.status = 'live' AND {{ no_edit_waits("first") }}
GROUP BY first.webinar, first.message
