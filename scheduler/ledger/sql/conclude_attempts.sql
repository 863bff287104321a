{% from "rows.sql" import outcomes %}
-- Record the outcomes of these attempts. An attempt in doubt stays so, with the relay's late reply. Replies about a
-- forgotten person (no address) are not kept.
UPDATE attempt
SET outcome = CASE WHEN attempt.outcome = '' THEN o.attempt ELSE attempt.outcome END,
    ended_at = o.at, stage = o.stage, code = o.code, enhanced = o.enhanced,
    reply = CASE WHEN attempt.address = '' THEN '' ELSE o.reply END
FROM {{ outcomes() }}
WHERE attempt.delivery_id = o.id AND attempt.lease_token = o.token AND attempt.outcome IN ('', 'in_doubt')
