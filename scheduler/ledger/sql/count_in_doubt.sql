-- How many mails are in doubt and still useful.
SELECT count(*) FROM delivery {{ indexed_by("delivery_unsettled") }}
WHERE state IN ('sending', 'in_doubt', 'held')  -- as a partial index says it
  AND state = 'in_doubt' AND expires_at > :now
