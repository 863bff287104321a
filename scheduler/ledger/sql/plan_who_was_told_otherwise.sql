{% from "conditions.sql" import differs %}
-- Have the people in ids planned again who were told anything that is no longer true.
UPDATE registration SET plan = 0
WHERE id IN (SELECT r.id FROM {{ numbers("ids") }} AS c
             {{ join_next }} registration r ON r.id = c.number
             JOIN webinar w ON w.webinar = r.webinar
             JOIN told t ON t.uid = r.uid
             WHERE r.plan <> 0 AND {{ differs() }})
