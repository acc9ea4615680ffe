-- sessions.end
DELETE FROM sessions
WHERE user = :user AND id = :id AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
