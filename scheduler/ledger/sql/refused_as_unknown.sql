{% from "conditions.sql" import refused_as_unknown %}
-- The deliveries of the people in ids that failed because a relay does not know the address.
SELECT f.id, f.registration_id FROM {{ numbers("ids") }} AS c
{{ join_next }} delivery f ON f.registration_id = c.number
WHERE {{ refused_as_unknown("f") }}
