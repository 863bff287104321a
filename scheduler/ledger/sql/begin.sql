{% from "rows.sql" import starts %}
{% from "conditions.sql" import may_go %}
-- Set these deliveries to sending, where the lease is still held and they may still go out.
UPDATE delivery SET state = 'sending', message_id = s.message_id
FROM {{ starts() }}
WHERE delivery.id = s.id AND delivery.lease_token = s.token
  AND (delivery.state = 'sending'
       OR delivery.state = 'pending' AND delivery.expires_at > :now
          AND EXISTS (SELECT 1 FROM delivery d
                      JOIN registration r ON r.id = d.registration_id
                      JOIN webinar w ON w.webinar = d.webinar
                      WHERE d.id = s.id AND w.revision_id = s.revision_id AND {{ may_go() }}))
RETURNING delivery.id
