-- Expire deliveries that were not sent while they were useful.
UPDATE delivery
SET state = 'expired', lease_token = NULL,
    reason = CASE WHEN state = 'held' THEN {{ why.no_longer_useful }} || '; was held: ' || reason
                  ELSE {{ why.no_longer_useful }} END
WHERE id IN (SELECT id FROM delivery WHERE state IN ('pending', 'held') AND expires_at <= :now
             ORDER BY expires_at LIMIT :many {{ update_skipping }})
