-- users.page_email_descending
SELECT entry.*, entry.id AS position, (SELECT at FROM user_logins WHERE user_id = entry.id) AS last_login
FROM (
    SELECT id, email, name, password IS NOT NULL AS has_password, standing, role, created, email_verified,
           row_number() OVER (ORDER BY email COLLATE "C" DESC) AS examined,
           ($1::text IS NULL OR standing = $1) AND ($2::text IS NULL OR role = $2)
           AND created >= $3 AND created < $4 AS matches
    FROM users
    WHERE email COLLATE "C" >= $6 AND email COLLATE "C" < $7
    ORDER BY email COLLATE "C" DESC
    LIMIT 200
) AS entry
WHERE matches OR examined = 200
ORDER BY email COLLATE "C" DESC
LIMIT $5
