-- users.page_logins_ascending
SELECT id, email, name, standing, role, email_verified, has_password, created, last_login
FROM users INDEXED BY users_by_last_login
WHERE last_login IS NOT NULL AND (last_login, id) > (:after, :after_id) AND (last_login, id) < (:before, :before_id)
ORDER BY last_login, id
LIMIT 200
