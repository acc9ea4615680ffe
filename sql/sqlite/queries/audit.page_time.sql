-- audit.page_time
SELECT id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail
FROM audit_events
WHERE id >= :from AND id < :before
ORDER BY id DESC
LIMIT 1000
