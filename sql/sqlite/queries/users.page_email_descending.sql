-- users.page_email_descending
SELECT id, email, name, standing, role, email_verified, has_password, created, last_login
FROM users INDEXED BY users_by_email
WHERE email >= :from AND email < :until
ORDER BY email DESC
LIMIT 200
