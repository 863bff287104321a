-- People of one webinar who wait to be planned, those about whom something has changed first.
SELECT id, zone FROM registration WHERE webinar = :webinar AND plan < :plan
ORDER BY plan LIMIT :most {{ update_skipping }}
