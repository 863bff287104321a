-- Set unfinished attempts of deliveries that are held for a restored ledger to in_doubt.
UPDATE attempt SET outcome = 'in_doubt', ended_at = :now
WHERE outcome = ''
  AND delivery_id IN (SELECT id FROM delivery
                      WHERE state IN ('sending', 'in_doubt', 'held')  -- the partial index's condition
                      AND state = 'held' AND reason = {{ why.restored }})
