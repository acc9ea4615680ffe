-- sessions.prune
-- Removes up to 16 expired sessions of any user, and those of this user that exceeded their idle limit. Each side of the
-- OR uses an index; with a UNION in the subquery, SQLite would scan the table.
DELETE FROM sessions
WHERE (user, id) IN (SELECT user, id FROM sessions WHERE expires <= :now ORDER BY expires LIMIT 16)
   OR (user = :user AND last_used + idle <= :now)
