-- users.delete
DELETE FROM users
WHERE id = :id
