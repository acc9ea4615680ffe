-- users.rehash
UPDATE users
SET password = $4
WHERE id = $1 AND password = $2 AND epoch = $3 AND standing = 'active'
RETURNING id
