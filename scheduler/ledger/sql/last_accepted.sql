-- When a relay last accepted a mail, among the newest most attempts, and how many of them were accepted.
SELECT max(ended_at) AS at, max(id) AS attempt, count(*) AS mails
FROM (SELECT id, ended_at, outcome FROM attempt WHERE id > (SELECT max(id) FROM attempt) - :most
      ORDER BY id DESC LIMIT :most) AS newest
WHERE outcome = 'sent'
