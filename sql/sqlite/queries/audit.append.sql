-- audit.append
-- Skips stored events, so that an append whose response was lost can be repeated.
INSERT INTO audit_events (id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail)
VALUES (:id, :at, :event, :user_id, :session_id, :address, :user_agent, :request_id, :actor, :detail)
ON CONFLICT (id) DO NOTHING
