-- users.details
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified,
       (SELECT at FROM user_logins WHERE user_id = users.id) AS last_login
FROM users
WHERE id = $1
