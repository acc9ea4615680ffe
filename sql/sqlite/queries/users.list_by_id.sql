-- users.list_by_id
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM users
WHERE id > :after
ORDER BY id
LIMIT :limit
