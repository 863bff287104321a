{% from "conditions.sql" import address_unknown, asked_enough, off, still_to_go %}
-- Add the next edition of messages due on registration for the people in ids who withdrew, were told so, and come after
-- all. They asked for it, so it goes whatever else they chose; tomorrow, if they caused enough mails today.
INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency, due_at, expires_at,
                      next_attempt_at, attempts, message_id, planned_at, for_start, asked_by)
SELECT registration_id, webinar, message, edition + 1, 'pending', '', 0, due_at, ends_at, due_at, 0, '', :now, starts_at,
       'registrant'
FROM (
    SELECT x.registration_id, x.webinar, x.message, x.edition, w.ends_at, w.starts_at,
           CASE WHEN {{ asked_enough() }} THEN :later ELSE :now END AS due_at
    FROM {{ numbers("ids") }} AS c
    {{ join_next }} registration r ON r.id = c.number
    {{ join_next }} delivery x ON x.registration_id = r.id
    JOIN webinar w ON w.webinar = r.webinar
    JOIN due_time d ON d.webinar = r.webinar AND d.zone = r.zone AND d.message = x.message AND d.due_at IS NULL
    WHERE r.gone_at IS NULL AND w.ends_at > :now AND NOT {{ off() }} AND NOT {{ still_to_go("x") }}
      AND EXISTS (SELECT 1 FROM delivery l JOIN told t ON t.delivery_id = l.id AND t.uid = r.uid
                  WHERE l.registration_id = r.id AND l.message = {{ withdrawal }} AND l.id > x.id)
      AND NOT EXISTS (SELECT 1 FROM suppression s WHERE s.address_folded = r.address_folded AND s.webinar = '')
      AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                      AND y.message = x.message AND y.edition > x.edition)
      AND NOT {{ address_unknown("r.id") }}
) AS returns
