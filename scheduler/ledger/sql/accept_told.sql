{% from "rows.sql" import mails %}
-- A relay accepted these mails.
UPDATE told SET accepted = TRUE
WHERE NOT accepted
  AND id IN (SELECT t.id FROM {{ mails() }} {{ join_next }} told t
             ON t.uid = n.uid AND t.delivery_id = n.delivery_id AND t.lease_token = n.lease_token)
RETURNING id
