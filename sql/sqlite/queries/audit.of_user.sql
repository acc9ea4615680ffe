-- audit.of_user
-- Events of kinds that a newer version has added are left out.
SELECT id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail
FROM audit_events
WHERE user_id = :user_id AND id < :before
  AND instr(:kinds, ' ' || event || ' ') > 0
ORDER BY id DESC
LIMIT :limit
