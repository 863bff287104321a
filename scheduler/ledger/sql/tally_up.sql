-- Count the deliveries in ids, which are about to be deleted.
INSERT INTO tally (webinar, message, state, reason, n)
SELECT d.webinar, d.message, d.state, d.reason, count(*)
FROM {{ numbers("ids") }} AS c
{{ join_next }} delivery d ON d.id = c.number
GROUP BY d.webinar, d.message, d.state, d.reason
ON CONFLICT (webinar, message, state, reason) DO UPDATE SET n = tally.n + excluded.n
