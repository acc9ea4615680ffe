-- users.rehash
UPDATE users
SET password = :new_password
WHERE id = :id AND password = :password AND epoch = :epoch AND standing = 'active'
