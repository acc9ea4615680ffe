-- audit.append
-- Once for each event, however often it is repeated because an answer was lost.
INSERT INTO audit_events (id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail)
VALUES (:id, :at, :event, :user_id, :session_id, :address, :user_agent, :request_id, :actor, :detail)
ON CONFLICT (id) DO NOTHING
