-- audit.append
-- Skips stored events, so that an append whose response was lost can be repeated.
INSERT INTO audit_events (id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail)
SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::inet[], $7::text[], $8::text[],
                     $9::text[], $10::text[])
ON CONFLICT (id) DO NOTHING
