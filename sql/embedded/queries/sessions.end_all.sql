-- sessions.end_all
DELETE FROM sessions
WHERE user = :user AND (:kept IS NULL OR id <> :kept) AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
