-- users.page_email_descending
SELECT entry.*, entry.id AS position
FROM (
    SELECT user_id AS id, email, name, has_password, standing, role, created, email_verified, last_login,
           row_number() OVER (ORDER BY email COLLATE "C" DESC) AS examined,
           ($1::text IS NULL OR standing = $1) AND ($2::text IS NULL OR role = $2)
           AND created >= $3 AND created < $4 AS matches
    FROM user_summaries
    WHERE email COLLATE "C" >= $6 AND email COLLATE "C" < $7
    ORDER BY email COLLATE "C" DESC
    LIMIT 200
) AS entry
WHERE matches OR examined = 200
ORDER BY email COLLATE "C" DESC
LIMIT $5
