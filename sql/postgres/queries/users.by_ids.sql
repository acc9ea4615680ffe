-- users.by_ids
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM users
WHERE id = ANY($1)
