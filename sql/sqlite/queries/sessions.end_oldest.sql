-- sessions.end_oldest
-- Ends the sessions beyond the limit before another one is opened: first those that are not valid, then the oldest.
-- Those that are not valid, but were created after :grace_start, do not count and stay. Returns whether each was valid.
DELETE FROM sessions
WHERE user = :user AND id IN (
    SELECT id FROM sessions
    WHERE user = :user AND id <> :id AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
        AND (epoch = :valid_epoch OR id IS :kept_session OR created <= :grace_start)
    ORDER BY (epoch = :valid_epoch OR id IS :kept_session) DESC, created DESC LIMIT -1 OFFSET :max_sessions - 1)
RETURNING epoch = :valid_epoch OR id IS :kept_session
