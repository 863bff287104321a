-- The number of the newest most attempts that ended in doubt after since.
SELECT count(*)
FROM (SELECT ended_at, outcome FROM attempt WHERE id > (SELECT max(id) FROM attempt) - :most
      ORDER BY id DESC LIMIT :most) AS newest
WHERE outcome = 'in_doubt' AND ended_at > :since
