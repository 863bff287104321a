{% from "conditions.sql" import is_the_last_notice, says_what_is_true, told_otherwise %}
-- The number of people of a webinar who would be notified if its facts were w.
SELECT count(*)
FROM (SELECT :start AS starts_at, :end AS ends_at, :cancelled AS cancelled, :link AS join_url,
             :forwards AS forwards) AS w
{{ join_next }} registration r ON r.webinar = :webinar
WHERE (r.gone_at IS NULL OR r.gone_at > :gone_since)
  AND NOT EXISTS (SELECT 1 FROM suppression s WHERE s.address_folded = r.address_folded AND s.webinar = '')
  AND {{ told_otherwise() }}
  -- A person's last notice is not repeated, whatever its outcome.
  AND NOT EXISTS (SELECT 1 FROM delivery l WHERE l.registration_id = r.id AND {{ is_the_last_notice("l") }}
                  AND l.state <> 'pending' AND {{ says_what_is_true("l") }})
