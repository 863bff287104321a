{% from "rows.sql" import starts %}
-- Add an attempt of each of these deliveries, unless an earlier run of this transaction added it.
INSERT INTO attempt (delivery_id, lease_token, relay, address, language, text_revision, started_at, code)
SELECT s.id, s.token, s.relay, s.address, s.language, s.text_revision, s.at, 0
FROM {{ starts() }}
WHERE NOT EXISTS (SELECT 1 FROM attempt a WHERE a.delivery_id = s.id AND a.lease_token = s.token)
