-- sessions.end
DELETE FROM sessions
WHERE user = :user AND id = :id AND expires > :now
