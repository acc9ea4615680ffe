-- sessions.end_oldest
-- Leaves room for the one that is about to be opened: those that are out of force go before the others.
DELETE FROM sessions
WHERE user = :user AND id IN (
    SELECT id FROM sessions
    WHERE user = :user AND id <> :id AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
    ORDER BY (epoch = :epoch OR id IS :kept_session) DESC, created DESC LIMIT -1 OFFSET :max_sessions - 1)
RETURNING epoch = :epoch OR id IS :kept_session
