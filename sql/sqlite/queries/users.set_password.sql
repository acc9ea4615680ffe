-- users.set_password
UPDATE users
SET password = :password, epoch = :epoch, kept_session = NULL
WHERE id = :id
RETURNING id, email, name, password, standing, role, epoch, kept_session, created, email_verified
