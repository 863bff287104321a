-- When a relay last accepted a mail, as far as the newest attempts tell, and how many of them it accepted.
SELECT max(ended_at) AS at, max(id) AS attempt, count(*) AS mails FROM attempt
WHERE id > (SELECT max(id) FROM attempt) - :most AND outcome = 'sent'
