-- sessions.record_use
-- Does nothing if the session has ended by :now, or if a later use is recorded.
UPDATE sessions
SET last_used = :used
WHERE user = :user AND id = :id AND last_used < :used
  AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
