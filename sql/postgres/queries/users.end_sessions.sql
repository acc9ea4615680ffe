-- users.end_sessions
UPDATE users
SET epoch = $2, kept_session = NULL
WHERE id = $1
RETURNING id, email, name, password, standing, role, epoch, kept_session, created, email_verified
