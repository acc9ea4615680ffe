-- users.page_email_ascending
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM users
WHERE email >= :from AND email < :until
ORDER BY email
LIMIT 1000
