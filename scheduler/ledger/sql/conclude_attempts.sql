{% from "rows.sql" import outcomes %}
-- How these attempts ended. One that is in doubt stays in doubt, with the relay's late words. Those about a person who
-- was forgotten (no address) are not kept.
UPDATE attempt
SET outcome = CASE WHEN attempt.outcome = '' THEN o.attempt ELSE attempt.outcome END,
    ended_at = o.at, stage = o.stage, code = o.code, enhanced = o.enhanced,
    reply = CASE WHEN attempt.address = '' THEN '' ELSE o.reply END
FROM {{ outcomes() }}
WHERE attempt.delivery_id = o.id AND attempt.lease_token = o.token AND attempt.outcome IN ('', 'in_doubt')
