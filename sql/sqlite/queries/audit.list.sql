-- audit.list
SELECT id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail
FROM audit_events
WHERE (:user_id IS NULL OR user_id = :user_id)
  AND (:event IS NULL OR event = :event)
  AND (:since IS NULL OR id >= :since)
ORDER BY id DESC
LIMIT :limit
