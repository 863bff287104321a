{% from "conditions.sql" import free %}
-- The next instants after now at which a delivery is due or expires, or a waiting edit or link takes effect. One index
-- lookup each.
{% for urgency in (0, 1) -%}
SELECT at FROM (SELECT next_attempt_at AS at FROM delivery d
                WHERE {{ free("d") }} AND d.urgency = {{ urgency }} AND d.next_attempt_at > :now
                ORDER BY at LIMIT 1) AS one
UNION ALL
{% endfor -%}
SELECT at FROM (SELECT expires_at AS at FROM delivery WHERE state IN ('pending', 'held') AND expires_at > :now
                ORDER BY at LIMIT 1) AS one
UNION ALL
SELECT at FROM (SELECT takes_effect_at AS at FROM webinar WHERE takes_effect_at > :now ORDER BY at LIMIT 1) AS one
UNION ALL
SELECT at FROM (SELECT link_until AS at FROM registration WHERE link_until > :now ORDER BY at LIMIT 1) AS one
