-- sessions.record_use
UPDATE sessions
SET last_used = :now
WHERE user = :user AND id = :id
