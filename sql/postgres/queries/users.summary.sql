-- users.summary
SELECT id, email, name, password IS NOT NULL AS has_password, standing, role, created, email_verified,
       (SELECT last_login FROM user_summaries WHERE user_id = users.id) AS last_login
FROM users
WHERE id = $1
