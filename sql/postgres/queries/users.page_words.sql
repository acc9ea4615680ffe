-- users.page_words
-- LIMIT 1 makes the look-up of each user one in the primary key, whatever the planner expects. A user matches at the first of
-- the words that begin with the prefix, and at no other.
SELECT found.*, entry.word, entry.user_id AS position, examined
FROM (
    SELECT word, user_id, row_number() OVER (ORDER BY word, user_id) AS examined
    FROM user_name_words
    WHERE (word, user_id) > ($6, $7) AND word < $8
    ORDER BY word, user_id
    LIMIT 200
) AS entry
LEFT JOIN LATERAL (
    SELECT user_id AS id, email, name, has_password, standing, role, created, email_verified, last_login,
           ($1::text IS NULL OR standing = $1) AND ($2::text IS NULL OR role = $2)
           AND created >= $3 AND created < $4
           AND entry.word = (SELECT min(first.word) FROM user_name_words AS first
                             WHERE first.user_id = entry.user_id AND first.word >= $9) AS matches
    FROM user_summaries
    WHERE user_id = entry.user_id
    LIMIT 1
) AS found ON true
WHERE matches OR examined = 200
ORDER BY entry.word, entry.user_id
LIMIT $5
