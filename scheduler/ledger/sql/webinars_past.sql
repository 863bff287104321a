-- The webinars that are over and still have personal data, or whose removal has begun; with the times of the removal and
-- whether an edit waits. One index lookup for each.
SELECT w.webinar, w.ends_at, w.keep_days, w.revision_id, w.waiting_id IS NOT NULL AS edit_waits,
       p.not_before, p.announced_at, p.purge_at, p.begun_at
FROM webinar w
LEFT JOIN purge p ON p.webinar = w.webinar
WHERE w.ends_at <= :now
  AND ((SELECT r.id FROM registration r WHERE r.webinar = w.webinar LIMIT 1) IS NOT NULL
       OR (SELECT e.webinar FROM confirmed_elsewhere e WHERE e.webinar = w.webinar LIMIT 1) IS NOT NULL
       OR (SELECT s.webinar FROM signup s WHERE s.webinar = w.webinar LIMIT 1) IS NOT NULL
       OR p.begun_at >= w.ends_at AND (p.purged_at IS NULL OR p.purged_at < p.begun_at))
ORDER BY w.webinar
