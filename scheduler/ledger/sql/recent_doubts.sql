-- How many of the newest attempts ended in doubt since then.
SELECT count(*)
FROM (SELECT ended_at, outcome FROM attempt WHERE id > (SELECT max(id) FROM attempt) - :most
      ORDER BY id DESC LIMIT :most) AS newest
WHERE outcome = 'in_doubt' AND ended_at > :since
