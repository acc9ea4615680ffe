-- sessions.find
SELECT user, id, epoch, held, successor, successor_key, rotated, created, expires, last_used, idle, address, user_agent,
    coalesce(authenticated, created)
FROM sessions
WHERE user = :user AND id = :id AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
