{% from "conditions.sql" import address_unknown, asked_enough, confirmation_to_go, doubtful, is_the_last_notice, link, link_waits %}
{% from "conditions.sql" import says_what_is_true, told_otherwise, withdrawn %}
-- Add a notice for each of the people in ids who was told something that is no longer true. A notice does not repeat the
-- person's last one, whatever its outcome, unless another mail told them something after it (a confirmation to a
-- corrected address, say). Who withdraws again and again is told so tomorrow.
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency, due_at, expires_at,
                      next_attempt_at, attempts, message_id, planned_at, for_start, for_end, for_link)
SELECT id, webinar, message,
       1 + coalesce((SELECT max(y.edition) FROM delivery y
                     WHERE y.registration_id = due.id AND y.message = due.message), 0),
       'pending', '', 0, due_at, ends_at, due_at, 0, '', :now, starts_at,
       CASE WHEN message = {{ change }} THEN ends_at END, CASE WHEN message = {{ change }} THEN link ELSE '' END
FROM (
    SELECT r.id, r.webinar, w.starts_at, w.ends_at, {{ link() }} AS link,
           CASE WHEN w.cancelled THEN {{ cancellation }} WHEN {{ withdrawn() }} THEN {{ withdrawal }}
                ELSE {{ change }} END AS message,
           CASE WHEN NOT w.cancelled AND {{ link_waits() }} THEN r.link_until
                WHEN NOT w.cancelled AND {{ withdrawn() }} AND {{ asked_enough() }} THEN :later
                ELSE :now END AS due_at
    FROM {{ numbers("ids") }} AS c
    {{ join_next }} registration r ON r.id = c.number
    JOIN webinar w ON w.webinar = r.webinar
    LEFT JOIN suppression s ON s.address_folded = r.address_folded AND s.webinar = ''
    WHERE r.gone_at IS NULL AND s.address_folded IS NULL AND w.ends_at > :now
      AND {{ told_otherwise() }} AND NOT {{ confirmation_to_go() }} AND NOT {{ address_unknown("r.id") }}
      AND NOT EXISTS (
          SELECT 1 FROM delivery l WHERE l.registration_id = r.id AND {{ is_the_last_notice("l") }}
          AND (l.state IN ('pending', 'held') AND NOT {{ doubtful("l") }}
               OR {{ says_what_is_true("l") }}
                  AND NOT EXISTS (
                      SELECT 1 FROM told t
                      JOIN attempt a ON a.delivery_id = t.delivery_id AND a.lease_token = t.lease_token
                      WHERE t.uid = r.uid AND t.delivery_id <> l.id
                      AND a.id > coalesce((SELECT max(b.id) FROM attempt b WHERE b.delivery_id = l.id), a.id))))
) AS due
