-- audit.of_user
SELECT id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail
FROM audit_events
WHERE user_id = :user_id AND id < :before
ORDER BY id DESC
LIMIT :limit
