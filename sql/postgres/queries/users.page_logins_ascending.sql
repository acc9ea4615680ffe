-- users.page_logins_ascending
-- LIMIT 1 makes the look-up of each user one in the primary key, whatever the planner expects.
SELECT found.*, entry.user_id AS position, entry.at AS last_login, examined
FROM (
    SELECT at, user_id, row_number() OVER (ORDER BY at, user_id) AS examined
    FROM user_logins
    WHERE (at, user_id) > ($6, $7) AND (at, user_id) < ($8, $9)
    ORDER BY at, user_id
    LIMIT 200
) AS entry
LEFT JOIN LATERAL (
    SELECT id, email, name, password IS NOT NULL AS has_password, standing, role, created, email_verified,
           ($1::text IS NULL OR standing = $1) AND ($2::text IS NULL OR role = $2)
           AND created >= $3 AND created < $4 AS matches
    FROM users
    WHERE id = entry.user_id
    LIMIT 1
) AS found ON true
WHERE matches OR examined = 200
ORDER BY entry.at, entry.user_id
LIMIT $5
