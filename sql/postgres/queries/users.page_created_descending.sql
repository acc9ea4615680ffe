-- users.page_created_descending
SELECT entry.*, entry.id AS position, (SELECT last_login FROM user_summaries WHERE user_id = entry.id) AS last_login
FROM (
    SELECT id, email, name, password IS NOT NULL AS has_password, standing, role, created, email_verified,
           row_number() OVER (ORDER BY created DESC, id DESC) AS examined,
           ($1::text IS NULL OR standing = $1) AND ($2::text IS NULL OR role = $2)
           AND created >= $3 AND created < $4 AS matches
    FROM users
    WHERE (created, id) > ($6, $7) AND (created, id) < ($8, $9)
    ORDER BY created DESC, id DESC
    LIMIT 1000
) AS entry
WHERE matches OR examined = 1000
ORDER BY created DESC, id DESC
LIMIT $5
