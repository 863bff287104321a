-- Clear `behind` of a webinar once everybody is planned by its plan.
UPDATE webinar SET behind = FALSE
WHERE webinar = :webinar AND plan = :plan
  AND NOT EXISTS (SELECT 1 FROM registration r WHERE r.webinar = :webinar AND r.plan < :plan AND r.plan > 0)
