-- Treat a changed link as unchanged if it was corrected before anybody was notified.
UPDATE registration SET link_since = NULL, link_until = NULL
WHERE id IN (SELECT r.id FROM {{ numbers("ids") }} AS c {{ join_next }} registration r ON r.id = c.number
             WHERE r.link_until IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM delivery x WHERE x.registration_id = r.id AND x.message = {{ change }}
                             AND x.state = 'pending' AND x.due_at > :now))
