-- How many of the newest attempts ended in doubt since then.
SELECT count(*) FROM attempt
WHERE id > (SELECT max(id) FROM attempt) - :most AND outcome = 'in_doubt' AND ended_at > :since
