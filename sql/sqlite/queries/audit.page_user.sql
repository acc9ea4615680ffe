-- audit.page_user
SELECT id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail
FROM audit_events INDEXED BY audit_events_by_user
WHERE user_id = :key AND id >= :from AND id < :before
ORDER BY id DESC
LIMIT 1000
