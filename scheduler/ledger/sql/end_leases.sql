-- End leases: what was on the wire is in doubt, what was only claimed is free. Of all services, or of these (the first
-- eight characters of a token), but not of the deliveries in known.
UPDATE delivery
SET lease_token = NULL, state = CASE WHEN state = 'sending' THEN 'in_doubt' ELSE state END,
    reason = CASE WHEN state = 'sending' THEN 'its sender stopped while sending' ELSE reason END
WHERE lease_token IS NOT NULL AND (:everybody OR substr(lease_token, 1, 8) IN :holders)
  AND id NOT IN (SELECT number FROM {{ numbers("known") }} AS k)
RETURNING id, state, registration_id
