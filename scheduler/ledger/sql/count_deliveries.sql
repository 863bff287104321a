-- How many deliveries of one webinar there are, by message and state, and what holds those that are held.
SELECT message, state, CASE WHEN state = 'held' THEN reason ELSE '' END AS why, count(*) AS mails FROM delivery
WHERE webinar = :webinar GROUP BY 1, 2, 3
