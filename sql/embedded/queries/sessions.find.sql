-- sessions.find
SELECT user, id, epoch, held, successor, successor_key, rotated, created, expires, last_used, address, user_agent
FROM sessions
WHERE user = :user AND id = :id AND expires > :now
