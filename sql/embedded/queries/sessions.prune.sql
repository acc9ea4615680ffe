-- sessions.prune
DELETE FROM sessions
WHERE (user, id) IN (SELECT user, id FROM sessions WHERE expires <= :now ORDER BY expires LIMIT 16)
