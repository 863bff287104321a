{% from "rows.sql" import versions %}
-- Store new versions of invitations before they may go out.
INSERT INTO invitation (registration_id, uid, sequence, method, dtstamp, says, calendar)
SELECT registration_id, uid, sequence, method, dtstamp, says, calendar FROM {{ versions() }}
WHERE TRUE
ON CONFLICT DO NOTHING
