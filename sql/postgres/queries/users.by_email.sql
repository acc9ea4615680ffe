-- users.by_email
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM users
WHERE email = $1
