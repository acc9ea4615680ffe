-- users.summary
SELECT id, email, name, standing, role, email_verified, has_password, created, last_login
FROM users
WHERE id = :id
