-- What earlier mails told counts no more, once these rows are accepted. For whoever was sent an invitation the last one
-- counts, not a later mail without.
DELETE FROM told
WHERE id IN (SELECT t.id FROM told a JOIN told t ON t.uid = a.uid
             WHERE a.id IN (SELECT number FROM {{ numbers("ids") }} AS c)
             AND (t.id < a.id AND (a.invited OR NOT t.invited)
                  OR t.id = a.id AND NOT a.invited
                     AND EXISTS (SELECT 1 FROM told i WHERE i.uid = a.uid AND i.invited AND i.accepted)))
