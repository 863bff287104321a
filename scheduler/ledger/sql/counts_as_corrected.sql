{% from "conditions.sql" import refused_as_unknown %}
-- What a relay said of the former addresses of the people in ids keeps nothing back any more.
UPDATE delivery SET reason = reason || {{ then_corrected }}
WHERE id IN (SELECT f.id FROM {{ numbers("ids") }} AS c {{ join_next }} delivery f ON f.registration_id = c.number
             WHERE {{ refused_as_unknown("f") }})
