-- The oldest delivery of each message that is claimed or on the wire, and how many of them one service (holders) has.
SELECT d.webinar, d.message, min(d.due_at) AS due_at,
       sum(CASE WHEN substr(d.lease_token, 1, 8) = :holders THEN 1 ELSE 0 END) AS mails
FROM delivery d {{ indexed_by("delivery_leased") }}
WHERE d.lease_token IS NOT NULL AND d.state IN ('pending', 'sending')
GROUP BY d.webinar, d.message
