{% from "conditions.sql" import free, may_go %}
-- Due deliveries of one webinar and urgency, the earliest first.
SELECT d.id FROM delivery d
{{ join_next }} registration r ON r.id = d.registration_id
{{ join_next }} webinar w ON w.webinar = d.webinar
WHERE d.webinar = :webinar AND d.urgency = :urgency AND {{ free("d") }}
  AND d.next_attempt_at <= :now AND d.expires_at > :now AND {{ may_go() }}
ORDER BY d.next_attempt_at LIMIT :limit {{ skip_locked.format("d") }}
