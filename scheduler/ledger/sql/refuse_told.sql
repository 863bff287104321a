{% from "rows.sql" import mails %}
-- Delete the facts of these mails, which no relay accepted.
DELETE FROM told
WHERE NOT accepted
  AND id IN (SELECT t.id FROM {{ mails() }} {{ join_next }} told t
             ON t.uid = n.uid AND t.delivery_id = n.delivery_id AND t.lease_token = n.lease_token)
