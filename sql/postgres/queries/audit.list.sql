-- audit.list
SELECT id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail
FROM audit_events
WHERE ($1::uuid IS NULL OR user_id = $1)
  AND ($2::text IS NULL OR event = $2)
  AND ($3::uuid IS NULL OR id >= $3)
ORDER BY id DESC
LIMIT $4
