-- users.end_all_sessions
WITH changed AS (UPDATE users SET epoch = $1, kept_session = NULL RETURNING id)
SELECT count(*) AS users FROM changed
