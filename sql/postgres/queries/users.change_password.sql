-- users.change_password
UPDATE users
SET password = $4, epoch = $5, kept_session = $6
WHERE id = $1 AND password = $2 AND epoch = $3 AND standing = 'active'
RETURNING id
