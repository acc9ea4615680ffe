-- users.delete_verified
DELETE FROM users
WHERE id = :id AND password = :password AND epoch = :epoch AND standing = 'active'
