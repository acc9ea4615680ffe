-- sessions.prune
-- Some that have expired, and those that this user has not used for too long.
DELETE FROM sessions
WHERE (user, id) IN (
    SELECT user, id FROM (SELECT user, id FROM sessions WHERE expires <= :now ORDER BY expires LIMIT 16)
    UNION ALL
    SELECT user, id FROM sessions WHERE user = :user AND last_used + idle <= :now)
