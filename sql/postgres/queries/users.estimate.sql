-- users.estimate
-- The density of rows at the last VACUUM or ANALYZE, times the size of today, as the planner estimates.
SELECT CASE WHEN reltuples >= 0 AND relpages > 0
            THEN (reltuples::float8 / relpages * (pg_relation_size(oid) / current_setting('block_size')::bigint))::bigint
       END AS users
FROM pg_class
WHERE oid = 'users'::regclass
