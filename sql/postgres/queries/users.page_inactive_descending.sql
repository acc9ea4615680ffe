-- users.page_inactive_descending
SELECT entry.*, entry.id AS position
FROM (
    SELECT user_id AS id, email, name, has_password, standing, role, created, email_verified, last_login,
           row_number() OVER (ORDER BY created DESC, user_id DESC) AS examined,
           ($1::text IS NULL OR standing = $1) AND ($2::text IS NULL OR role = $2)
           AND created >= $3 AND created < $4 AS matches
    FROM user_summaries
    WHERE standing = 'inactive' AND (created, user_id) > ($6, $7) AND (created, user_id) < ($8, $9)
    ORDER BY created DESC, user_id DESC
    LIMIT 1000
) AS entry
WHERE matches OR examined = 1000
ORDER BY created DESC, id DESC
LIMIT $5
