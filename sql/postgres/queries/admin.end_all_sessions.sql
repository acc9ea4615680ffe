-- admin.end_all_sessions
-- Locks all users in any order, so statements that lock several users wait at the gate, or this one for them.
WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock(1886352500, 'users'::regclass::oid::int)),
changed AS (
    UPDATE users SET epoch = $11, kept_session = NULL WHERE (SELECT count(*) FROM gate) >= 0 RETURNING id
),
total AS MATERIALIZED (SELECT count(*) AS users FROM changed),
recorded AS (
    INSERT INTO audit_events (id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail)
    SELECT id, at, event, user_id, session_id, address, user_agent, request_id, actor, 'users: ' || users
    FROM total,
         unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::inet[], $7::text[], $8::text[], $9::text[],
                $10::text[]) AS event (id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail)
)
SELECT users FROM total
