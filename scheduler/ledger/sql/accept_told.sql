{% from "rows.sql" import mails %}
-- Mark the facts of these mails, which a relay accepted.
UPDATE told SET accepted = TRUE
WHERE NOT accepted
  AND id IN (SELECT t.id FROM {{ mails() }} {{ join_next }} told t
             ON t.uid = n.uid AND t.delivery_id = n.delivery_id AND t.lease_token = n.lease_token)
RETURNING id
