-- admin.create
-- Inserts the user and the event, or neither.
WITH created AS (
    INSERT INTO users (id, email, name, password, standing, role, epoch, kept_session, created, email_verified)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (email) DO NOTHING
    RETURNING id
),
recorded AS (
    INSERT INTO audit_events (id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail)
    SELECT * FROM unnest($11::uuid[], $12::timestamptz[], $13::text[], $14::uuid[], $15::uuid[], $16::inet[], $17::text[],
                         $18::text[], $19::text[], $20::text[])
    WHERE EXISTS (SELECT FROM created)
)
SELECT id FROM created
