{% from "rows.sql" import mails %}
-- A relay accepted these mails. Returns their rows, and whether their readers were told anything else before.
UPDATE told SET accepted = TRUE
WHERE NOT accepted
  AND id IN (SELECT t.id FROM {{ mails() }} {{ join_next }} told t
             ON t.uid = n.uid AND t.delivery_id = n.delivery_id AND t.lease_token = n.lease_token)
RETURNING id, EXISTS (SELECT 1 FROM told o WHERE o.uid = told.uid AND o.id <> told.id) AS was_told_before
