-- users.delete_verified
DELETE FROM users
WHERE id = $1 AND password = $2 AND epoch = $3 AND standing = 'active'
RETURNING id
