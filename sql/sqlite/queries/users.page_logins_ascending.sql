-- users.page_logins_ascending
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified, user_id, at
FROM user_logins INDEXED BY user_logins_by_time LEFT JOIN users ON id = user_id
WHERE (at, user_id) > (:after, :after_id) AND (at, user_id) < (:before, :before_id)
ORDER BY at, user_id
LIMIT 1000
