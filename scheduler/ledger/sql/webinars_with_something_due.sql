{% from "conditions.sql" import free %}
-- The webinars with a due delivery of this urgency. With nothing due, the cost does not depend on their number.
SELECT w.webinar
FROM (SELECT 1 FROM delivery d
      WHERE d.urgency = :urgency AND {{ free("d") }} AND d.next_attempt_at <= :now LIMIT 1) AS one
CROSS JOIN webinar w
WHERE (w.status = 'live' OR :drafts_too AND w.status <> 'ended') AND w.version <= :version
  AND EXISTS (SELECT 1 FROM delivery d
              WHERE d.webinar = w.webinar AND d.urgency = :urgency AND {{ free("d") }} AND d.next_attempt_at <= :now)
