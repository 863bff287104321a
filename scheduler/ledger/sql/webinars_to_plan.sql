-- The webinars in which people wait to be planned: because the webinar has changed (0), because something about them
-- has (1). Where nobody waits, there is nothing to join the webinars to: it costs the same however many there are.
SELECT webinar, 0 AS waits FROM webinar {{ indexed_by("webinar_behind") }} WHERE behind AND status <> 'ended'
UNION ALL
SELECT w.webinar, 1
FROM (SELECT 1 FROM registration {{ indexed_by("registration_waits") }} WHERE plan = 0 LIMIT 1) AS one
CROSS JOIN webinar w
WHERE w.status <> 'ended' AND EXISTS (SELECT 1 FROM registration r WHERE r.webinar = w.webinar AND r.plan = 0)
ORDER BY webinar, waits
