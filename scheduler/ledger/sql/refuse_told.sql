{% from "rows.sql" import mails %}
-- No relay took these mails: they told nothing.
DELETE FROM told
WHERE NOT accepted
  AND id IN (SELECT t.id FROM {{ mails() }} {{ join_next }} told t
             ON t.uid = n.uid AND t.delivery_id = n.delivery_id AND t.lease_token = n.lease_token)
