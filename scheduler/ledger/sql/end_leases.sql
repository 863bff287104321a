-- End the leases of all services, or of the holders (names, the beginnings of tokens, separated by blanks), except those
-- of the deliveries in known. Deliveries on the wire become in doubt; the others can be claimed again.
UPDATE delivery
SET lease_token = NULL, state = CASE WHEN state = 'sending' THEN 'in_doubt' ELSE state END,
    reason = CASE WHEN state = 'sending' THEN 'its sender stopped while sending' ELSE reason END
WHERE lease_token IS NOT NULL AND (:everybody OR ' ' || :holders || ' ' LIKE '% ' || substr(lease_token, 1, 8) || ' %')
  AND id NOT IN (SELECT number FROM {{ numbers("known") }} AS k)
RETURNING id, state, registration_id
