-- sessions.prune
-- Removes up to 16 expired sessions of any user, and those of this user that exceeded their idle limit.
DELETE FROM sessions
WHERE (user, id) IN (
    SELECT user, id FROM (SELECT user, id FROM sessions WHERE expires <= :now ORDER BY expires LIMIT 16)
    UNION ALL
    SELECT user, id FROM sessions WHERE user = :user AND last_used + idle <= :now)
