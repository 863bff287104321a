{% from "rows.sql" import facts %}
-- Record the facts that these mails tell. A mail that only repeats the one thing that its reader was told for certain
-- needs no row.
INSERT INTO told (uid, delivery_id, lease_token, starts_at, ends_at, join_url, cancelled, invited, accepted)
SELECT uid, delivery_id, lease_token, starts_at, ends_at, join_url, cancelled, invited, FALSE
FROM {{ facts() }}
WHERE NOT EXISTS (SELECT 1 FROM told t
                  WHERE t.uid = n.uid AND t.delivery_id = n.delivery_id AND t.lease_token = n.lease_token)
  AND NOT (EXISTS (SELECT 1 FROM told t
                   WHERE t.uid = n.uid AND t.accepted AND (t.invited OR NOT n.invited)
                   AND t.cancelled = n.cancelled AND t.join_url = n.join_url
                   AND (n.cancelled OR t.starts_at = n.starts_at AND t.ends_at = n.ends_at))
           AND (SELECT count(*) FROM told t WHERE t.uid = n.uid) = 1)
