-- sessions.end_oldest
-- Ends the sessions beyond the limit before another one is opened: first those that are not valid, then the oldest.
-- Returns whether each was valid.
DELETE FROM sessions
WHERE user = :user AND id IN (
    SELECT id FROM sessions
    WHERE user = :user AND id <> :id AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
    ORDER BY (epoch = :valid_epoch OR id IS :kept_session) DESC, created DESC LIMIT -1 OFFSET :max_sessions - 1)
RETURNING epoch = :valid_epoch OR id IS :kept_session
