-- users.by_id
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM users
WHERE id = :id
