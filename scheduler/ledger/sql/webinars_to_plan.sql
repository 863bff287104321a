-- The webinars in which people wait to be planned, because the webinar changed (0) or because they did (1). If nobody
-- waits, the join is with no row, so the cost does not depend on the number of webinars.
SELECT webinar, 0 AS waits FROM webinar {{ indexed_by("webinar_behind") }} WHERE behind AND status <> 'ended'
UNION ALL
SELECT w.webinar, 1
FROM (SELECT 1 FROM registration {{ indexed_by("registration_waits") }} WHERE plan = 0 LIMIT 1) AS one
CROSS JOIN webinar w
WHERE w.status <> 'ended' AND EXISTS (SELECT 1 FROM registration r WHERE r.webinar = w.webinar AND r.plan = 0)
ORDER BY webinar, waits
