-- admin.change
-- Changes the user and inserts the event, or neither. The first row has the outcome, the user before and the last login, the
-- second row the user now.
--
-- If the change may remove an administrator ($2), every administrator is locked too, in the order of the ids. A statement that
-- waits for a lock reads the version that was committed meanwhile, so of two administrators who remove each other at once, the
-- second one finds that no other is left. Only the locked versions decide, never those of the snapshot. The gate orders these
-- locks before or after those of admin.end_all_sessions, which come in any order.
WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(1886352500, 'users'::regclass::oid::int) WHERE $2::boolean),
locked AS MATERIALIZED (
    SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified,
           role = 'administrator' AND standing = 'active' AND password IS NOT NULL AS administers
    FROM users
    WHERE (SELECT count(*) FROM gate) >= 0
      AND id = ANY (ARRAY(
          SELECT id FROM users
          WHERE $2 AND role = 'administrator' AND standing = 'active' AND password IS NOT NULL
      ) || $1::uuid)
    ORDER BY id
    FOR NO KEY UPDATE
),
outcome AS MATERIALIZED (
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM locked WHERE id = $1) THEN 'not_found'
        WHEN $3::boolean AND (
            $7::text = 'administrator' OR EXISTS (SELECT FROM locked WHERE id = $1 AND role = 'administrator')
        ) THEN 'members_only'
        WHEN EXISTS (SELECT FROM users WHERE email = $5::text AND id <> $1) THEN 'email_taken'
        WHEN $2
            AND EXISTS (SELECT FROM locked WHERE id = $1 AND administers)
            AND NOT EXISTS (SELECT FROM locked WHERE id <> $1 AND administers) THEN 'last_administrator'
        ELSE 'done'
    END AS outcome
),
changed AS (
    UPDATE users
    SET name = coalesce($4::text, name),
        email = coalesce($5, email),
        email_verified = coalesce($6::boolean, email_verified AND ($5 IS NULL OR $5 = email)),
        role = coalesce($7, role),
        standing = coalesce($8::text, standing),
        password = CASE WHEN $9::boolean THEN $10::text ELSE password END,
        epoch = coalesce($11::bigint, epoch),
        kept_session = CASE WHEN $11 IS NULL THEN kept_session END
    WHERE id = $1 AND (SELECT outcome FROM outcome) = 'done'
    RETURNING id, email, name, password, standing, role, epoch, kept_session, created, email_verified
),
recorded AS (
    INSERT INTO audit_events (id, at, event, user_id, session_id, address, user_agent, request_id, actor, detail)
    SELECT * FROM unnest($12::uuid[], $13::timestamptz[], $14::text[], $15::uuid[], $16::uuid[], $17::inet[], $18::text[],
                         $19::text[], $20::text[], $21::text[])
    WHERE EXISTS (SELECT FROM changed)
)
SELECT outcome, id, email, name, password, standing, role, epoch, kept_session, created, email_verified,
       (SELECT last_login FROM user_summaries WHERE user_id = $1) AS last_login
FROM outcome LEFT JOIN locked ON id = $1
UNION ALL
SELECT 'changed', id, email, name, password, standing, role, epoch, kept_session, created, email_verified, NULL
FROM changed
