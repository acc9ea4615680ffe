-- users.page_inactive_descending
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM users INDEXED BY users_inactive
WHERE standing = 'inactive' AND (created, id) > (:after, :after_id) AND (created, id) < (:before, :before_id)
ORDER BY created DESC, id DESC
LIMIT 1000
