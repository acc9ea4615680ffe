-- sessions.record_authentication
UPDATE sessions
SET authenticated = :now
WHERE user = :user AND id = :id AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
