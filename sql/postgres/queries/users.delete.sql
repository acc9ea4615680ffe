-- users.delete
DELETE FROM users
WHERE id = $1
RETURNING id, email, name, password, standing, role, epoch, kept_session, created, email_verified
