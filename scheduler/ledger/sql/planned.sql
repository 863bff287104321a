-- A webinar in which nobody waits for its plan is no longer behind.
UPDATE webinar SET behind = FALSE
WHERE webinar = :webinar AND plan = :plan
  AND NOT EXISTS (SELECT 1 FROM registration r WHERE r.webinar = :webinar AND r.plan < :plan AND r.plan > 0)
