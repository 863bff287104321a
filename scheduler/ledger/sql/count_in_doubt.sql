-- The number of deliveries in doubt that are still useful.
SELECT count(*) FROM delivery {{ indexed_by("delivery_unsettled") }}
WHERE state IN ('sending', 'in_doubt', 'held')  -- the partial index's condition
  AND state = 'in_doubt' AND expires_at > :now
