{% from "conditions.sql" import refused_as_unknown %}
-- Mark the addresses of the people in ids as corrected: earlier refusals no longer keep mails back.
UPDATE delivery SET reason = reason || {{ then_corrected }}
WHERE id IN (SELECT f.id FROM {{ numbers("ids") }} AS c {{ join_next }} delivery f ON f.registration_id = c.number
             WHERE {{ refused_as_unknown("f") }})
