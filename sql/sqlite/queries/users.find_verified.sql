-- users.find_verified
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM users
WHERE id = :id AND password = :password AND epoch = :epoch AND role = :role AND standing = 'active'
