{% from "conditions.sql" import link %}
-- Record the present facts for the people in ids whom another system confirmed: it told them.
INSERT INTO told (uid, delivery_id, starts_at, ends_at, join_url, cancelled, invited, accepted)
SELECT r.uid, 0, w.starts_at, w.ends_at, {{ link() }}, w.cancelled, FALSE, TRUE
FROM {{ numbers("ids") }} AS c
{{ join_next }} registration r ON r.id = c.number
JOIN webinar w ON w.webinar = r.webinar
JOIN confirmed_elsewhere e ON e.webinar = r.webinar AND e.address_folded = r.address_folded
WHERE r.gone_at IS NULL AND NOT EXISTS (SELECT 1 FROM told t WHERE t.uid = r.uid)
