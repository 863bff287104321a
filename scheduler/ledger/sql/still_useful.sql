{% from "conditions.sql" import free %}
-- Whether any mail of a webinar may still go out, or is on the wire. Each condition is that of a partial index.
SELECT EXISTS (SELECT 1 FROM delivery d WHERE d.webinar = :webinar AND {{ free("d") }} AND d.expires_at > :now)
    OR EXISTS (SELECT 1 FROM delivery d WHERE d.webinar = :webinar AND d.lease_token IS NOT NULL)
    OR EXISTS (SELECT 1 FROM delivery d WHERE d.webinar = :webinar AND d.state IN ('sending', 'in_doubt', 'held')
               AND (d.state = 'sending' OR d.expires_at > :now))
