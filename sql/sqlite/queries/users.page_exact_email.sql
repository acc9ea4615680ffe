-- users.page_exact_email
SELECT id, email, name, standing, role, email_verified, has_password, created, last_login
FROM users
WHERE email = :email
