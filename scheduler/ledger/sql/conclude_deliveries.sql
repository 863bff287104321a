{% from "rows.sql" import outcomes %}
-- Record the outcomes of these deliveries, where the lease is still held.
UPDATE delivery
SET state = o.state, reason = o.reason, attempts = attempts + o.counts,
    next_attempt_at = coalesce(o.again_at, next_attempt_at), lease_token = NULL,
    sent_at = coalesce(o.sent_at, delivery.sent_at)
FROM {{ outcomes() }}
WHERE delivery.id = o.id AND delivery.lease_token = o.token AND delivery.state IN ('pending', 'sending')
