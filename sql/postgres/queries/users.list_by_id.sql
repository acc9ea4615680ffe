-- users.list_by_id
-- The inner limit is that of a page; without it, the planner would prepare for a tenth of the table.
SELECT *
FROM (
    SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
    FROM users
    WHERE id > $1
    ORDER BY id
    LIMIT 1000
) AS page
ORDER BY id
LIMIT $2
