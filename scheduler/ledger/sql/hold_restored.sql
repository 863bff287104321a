-- Hold what may have gone out since the state to which the database was set back: all that was due by now, and every
-- notice, whatever else it was held for.
UPDATE delivery SET state = 'held', reason = {{ why.restored }}, lease_token = NULL
WHERE (due_at <= :now OR message IN {{ notices }})
  AND (state IN ('pending', 'sending', 'in_doubt') OR state = 'held' AND reason <> {{ why.restored }})
