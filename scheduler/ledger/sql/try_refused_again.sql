-- Set failed deliveries in ids to pending again, if they are still useful and have no later edition.
UPDATE delivery SET state = 'pending', reason = '', next_attempt_at = :again_at
WHERE id IN (SELECT x.id FROM {{ numbers("ids") }} AS c {{ join_next }} delivery x ON x.id = c.number
             WHERE x.state = 'failed' AND x.expires_at > :now AND x.registration_id > 0
             AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.registration_id = x.registration_id
                             AND y.message = x.message AND y.edition > x.edition))
RETURNING id
