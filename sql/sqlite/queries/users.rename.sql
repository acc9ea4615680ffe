-- users.rename
UPDATE users
SET name = :name
WHERE id = :id
RETURNING id, email, name, password, standing, role, epoch, kept_session, created, email_verified
