-- End leases: what was on the wire is in doubt, what was only claimed is free. Of all services, or of the holders (names,
-- with which tokens begin, between blanks), but not of the deliveries in known.
UPDATE delivery
SET lease_token = NULL, state = CASE WHEN state = 'sending' THEN 'in_doubt' ELSE state END,
    reason = CASE WHEN state = 'sending' THEN 'its sender stopped while sending' ELSE reason END
WHERE lease_token IS NOT NULL AND (:everybody OR ' ' || :holders || ' ' LIKE '% ' || substr(lease_token, 1, 8) || ' %')
  AND id NOT IN (SELECT number FROM {{ numbers("known") }} AS k)
RETURNING id, state, registration_id
