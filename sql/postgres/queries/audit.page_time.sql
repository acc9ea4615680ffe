-- audit.page_time
SELECT entry.*
FROM (
    SELECT id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail,
           row_number() OVER (ORDER BY id DESC) AS examined,
           event = ANY ($1) AND ($2::uuid IS NULL OR user_id = $2) AND ($3::inet IS NULL OR address = $3) AS matches
    FROM audit_events
    WHERE id >= $4 AND id < $5
    ORDER BY id DESC
    LIMIT 1000
) AS entry
WHERE matches OR examined = 1000
ORDER BY id DESC
LIMIT $6
