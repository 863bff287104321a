-- Delete the facts of mails earlier than these accepted rows. A mail without an invitation does not replace an earlier
-- one with an invitation: then its own row goes.
DELETE FROM told
WHERE id IN (SELECT t.id FROM told a JOIN told t ON t.uid = a.uid
             WHERE a.id IN (SELECT number FROM {{ numbers("ids") }} AS c)
             AND (t.id < a.id AND (a.invited OR NOT t.invited)
                  OR t.id = a.id AND NOT a.invited
                     AND EXISTS (SELECT 1 FROM told i WHERE i.uid = a.uid AND i.invited AND i.accepted)))
