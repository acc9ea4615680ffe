-- users.change_password
UPDATE users
SET password = :new_password, epoch = :new_epoch, kept_session = :kept_session
WHERE id = :id AND password = :password AND epoch = :epoch AND standing = 'active'
