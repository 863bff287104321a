-- How many deliveries of live webinars wait for a person, by what holds them.
SELECT d.webinar, d.reason, count(*) AS mails
FROM delivery d {{ indexed_by("delivery_unsettled") }}
{{ join_next }} webinar w ON w.webinar = d.webinar
WHERE d.state IN ('sending', 'in_doubt', 'held')  -- as a partial index says it
  AND d.state = 'held' AND w.status = 'live'
GROUP BY d.webinar, d.reason
