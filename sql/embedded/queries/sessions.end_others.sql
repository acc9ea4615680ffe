-- sessions.end_others
DELETE FROM sessions
WHERE user = :user AND id <> :kept AND expires > :now
