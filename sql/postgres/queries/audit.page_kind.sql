-- audit.page_kind
-- By rows instead of `event = $6`: the planner would take another index and read all events until the page is full.
SELECT entry.*
FROM (
    SELECT id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail,
           row_number() OVER (ORDER BY event DESC, id DESC) AS examined,
           event = ANY ($1) AND ($2::uuid IS NULL OR user_id = $2) AND ($3::inet IS NULL OR address = $3) AS matches
    FROM audit_events
    WHERE (event, id) >= ($6, $4) AND (event, id) < ($6, $5)
    ORDER BY event DESC, id DESC
    LIMIT 1000
) AS entry
WHERE matches OR examined = 1000
ORDER BY event DESC, id DESC
LIMIT $7
