{% from "conditions.sql" import free %}
-- The webinars that have something due of this urgency. With nothing due it costs the same however many there are.
SELECT w.webinar
FROM (SELECT 1 FROM delivery d
      WHERE d.urgency = :urgency AND {{ free("d") }} AND d.next_attempt_at <= :now LIMIT 1) AS one
CROSS JOIN webinar w
WHERE (w.status = 'live' OR :drafts_too AND w.status <> 'ended') AND w.version <= :version
  AND EXISTS (SELECT 1 FROM delivery d
              WHERE d.webinar = w.webinar AND d.urgency = :urgency AND {{ free("d") }} AND d.next_attempt_at <= :now)
