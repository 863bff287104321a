-- How many mails are in doubt and still useful.
SELECT count(*) FROM delivery {{ indexed_by("delivery_unsettled") }} WHERE state = 'in_doubt' AND expires_at > :now
