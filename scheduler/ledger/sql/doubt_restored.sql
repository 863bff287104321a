-- The attempts without an outcome, of deliveries that are held for this.
UPDATE attempt SET outcome = 'in_doubt', ended_at = :now
WHERE outcome = ''
  AND delivery_id IN (SELECT id FROM delivery
                      WHERE state IN ('sending', 'in_doubt', 'held')  -- as a partial index says it
                      AND state = 'held' AND reason = {{ why.restored }})
