-- The number of held deliveries of live webinars, by reason.
SELECT d.webinar, d.reason, count(*) AS mails
FROM delivery d {{ indexed_by("delivery_unsettled") }}
{{ join_next }} webinar w ON w.webinar = d.webinar
WHERE d.state IN ('sending', 'in_doubt', 'held')  -- the partial index's condition
  AND d.state = 'held' AND w.status = 'live'
GROUP BY d.webinar, d.reason
