-- admin.delete
-- Deletes the users and inserts their events, or neither. The rows have the outcome and the users before, in the order of
-- their ids. The locks are those of admin.change.
WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(1886352500, 'users'::regclass::oid::int)),
locked AS MATERIALIZED (
    SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified,
           role = 'administrator' AND standing = 'active' AND password IS NOT NULL AS administers,
           id = ANY ($4::uuid[]) AS is_target
    FROM users
    WHERE (SELECT count(*) FROM gate) >= 0
      AND id = ANY (ARRAY(
          SELECT id FROM users WHERE role = 'administrator' AND standing = 'active' AND password IS NOT NULL
      ) || $4)
    ORDER BY id
    FOR NO KEY UPDATE
),
outcome AS MATERIALIZED (
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM locked WHERE is_target) THEN 'not_found'
        WHEN $11::boolean AND EXISTS (SELECT FROM locked WHERE is_target AND role = 'administrator') THEN 'members_only'
        WHEN EXISTS (SELECT FROM locked WHERE is_target AND administers)
            AND NOT EXISTS (SELECT FROM locked WHERE NOT is_target AND administers) THEN 'last_administrator'
        ELSE 'done'
    END AS outcome
),
-- In the order of the ids, so that two deletions do not wait for each other in a circle.
targets AS MATERIALIZED (
    SELECT id FROM users
    WHERE id = ANY ($4) AND NOT $12::boolean AND (SELECT outcome FROM outcome) = 'done'
    ORDER BY id
    FOR UPDATE
),
removed AS (
    DELETE FROM users
    USING targets
    WHERE users.id = targets.id
    RETURNING users.id
),
recorded AS (
    INSERT INTO audit_events (id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail)
    SELECT event.*
    FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4, $5::uuid[], $6::inet[], $7::text[], $8::text[], $9::text[],
                $10::text[]) AS event (id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail)
    JOIN removed ON removed.id = event.user_id
)
SELECT outcome, id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM outcome LEFT JOIN locked ON is_target
ORDER BY id
