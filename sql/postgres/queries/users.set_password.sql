-- users.set_password
UPDATE users
SET password = $2, epoch = $3, kept_session = NULL
WHERE id = $1
RETURNING id, email, name, password, standing, role, epoch, kept_session, created, email_verified
