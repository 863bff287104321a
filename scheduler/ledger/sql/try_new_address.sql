-- Reset attempts made at a former address: a changed address is a new recipient.
UPDATE delivery SET attempts = 0, next_attempt_at = due_at, state = 'pending', reason = ''
WHERE id IN (SELECT x.id FROM {{ numbers("ids") }} AS c {{ join_next }} delivery x ON x.registration_id = c.number
             WHERE x.expires_at > :now
             AND (x.state = 'failed' AND x.urgency > 0 OR x.state = 'pending' AND x.attempts > 0)
             AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                             AND y.message = x.message AND y.edition > x.edition))
