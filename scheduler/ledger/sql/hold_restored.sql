-- Hold deliveries that may have gone out since the restored state: all that were due by now, and every notice, also those
-- held for another reason.
UPDATE delivery SET state = 'held', reason = {{ why.restored }}, lease_token = NULL
WHERE (due_at <= :now OR message IN {{ notices }})
  AND (state IN ('pending', 'sending', 'in_doubt') OR state = 'held' AND reason <> {{ why.restored }})
