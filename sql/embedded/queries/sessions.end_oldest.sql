-- sessions.end_oldest
-- Leaves room for the one that is about to be opened.
DELETE FROM sessions
WHERE user = :user AND id IN (
    SELECT id FROM sessions
    WHERE user = :user AND id <> :id AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
    ORDER BY created DESC LIMIT -1 OFFSET :max_sessions - 1)
