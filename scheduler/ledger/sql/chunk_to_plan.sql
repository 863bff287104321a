-- People of one webinar who wait to be planned, those who changed first (plan 0).
SELECT id, zone FROM registration WHERE webinar = :webinar AND plan < :plan
ORDER BY plan LIMIT :most {{ update_skipping }}
