-- users.page_administrators_ascending
SELECT entry.*, entry.id AS position
FROM (
    SELECT user_id AS id, email, name, has_password, standing, role, created, email_verified, last_login,
           row_number() OVER (ORDER BY created, user_id) AS examined,
           ($1::text IS NULL OR standing = $1) AND ($2::text IS NULL OR role = $2)
           AND created >= $3 AND created < $4 AS matches
    FROM user_summaries
    WHERE role = 'administrator' AND (created, user_id) > ($6, $7) AND (created, user_id) < ($8, $9)
    ORDER BY created, user_id
    LIMIT 1000
) AS entry
WHERE matches OR examined = 1000
ORDER BY created, id
LIMIT $5
