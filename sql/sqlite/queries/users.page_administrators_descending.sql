-- users.page_administrators_descending
SELECT id, email, name, standing, role, email_verified, has_password, created, last_login
FROM users INDEXED BY users_administrators
WHERE role = 'administrator' AND (created, id) > (:after, :after_id) AND (created, id) < (:before, :before_id)
ORDER BY created DESC, id DESC
LIMIT 1000
