-- What earlier mails told counts no more, once these rows are accepted. For whoever was sent an invitation the last one
-- counts, not a later mail without.
DELETE FROM told
WHERE id IN (SELECT t.id FROM told n JOIN told t ON t.uid = n.uid
             WHERE n.id IN (SELECT number FROM {{ numbers("ids") }} AS c)
             AND (t.id < n.id AND (n.invited OR NOT t.invited)
                  OR t.id = n.id AND NOT n.invited
                     AND EXISTS (SELECT 1 FROM told i WHERE i.uid = n.uid AND i.invited AND i.accepted)))
