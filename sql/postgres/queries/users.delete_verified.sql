-- users.delete_verified
-- Locks every administrator too if the user was read as one ($4); otherwise, the user must still be a member. The locks are
-- those of admin.change.
WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(1886352500, 'users'::regclass::oid::int) WHERE $4::text = 'administrator'
),
locked AS MATERIALIZED (
    SELECT id, password, epoch, standing, role
    FROM users
    WHERE (SELECT count(*) FROM gate) >= 0
      AND id = ANY (ARRAY(
          SELECT id FROM users
          WHERE $4 = 'administrator' AND role = 'administrator' AND standing = 'active' AND password IS NOT NULL
      ) || $1::uuid)
    ORDER BY id
    FOR NO KEY UPDATE
),
outcome AS MATERIALIZED (
    SELECT CASE
        WHEN NOT EXISTS (
            SELECT FROM locked
            WHERE id = $1 AND password = $2::text AND epoch = $3::bigint AND standing = 'active' AND role = $4
        ) THEN 'stale'
        WHEN $4 = 'administrator' AND NOT EXISTS (
            SELECT FROM locked
            WHERE id <> $1 AND role = 'administrator' AND standing = 'active' AND password IS NOT NULL
        ) THEN 'last_administrator'
        ELSE 'deleted'
    END AS outcome
),
removed AS (
    DELETE FROM users WHERE id = $1 AND (SELECT outcome FROM outcome) = 'deleted'
)
SELECT outcome FROM outcome
