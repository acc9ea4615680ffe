-- users.imported_hashes
-- No row if nothing has been imported. Large numbers are those of the last VACUUM or ANALYZE, because counting takes too long.
SELECT
    imported_hashes_key.key,
    commonest.recipe,
    CASE WHEN of_index.reltuples >= 300000 THEN of_index.reltuples::bigint
        ELSE (SELECT count(*) FROM users WHERE password NOT LIKE '$%') END AS remaining,
    CASE WHEN of_users.reltuples >= 10000 THEN of_users.reltuples::bigint
        ELSE (SELECT count(*) FROM users) END AS users
FROM imported_hashes_key
CROSS JOIN (SELECT recipe FROM imported_hashes ORDER BY users DESC, recipe LIMIT 1) AS commonest
CROSS JOIN (SELECT reltuples FROM pg_class WHERE oid = 'users'::regclass) AS of_users
CROSS JOIN (SELECT reltuples FROM pg_class WHERE oid = 'users_by_imported_hash'::regclass) AS of_index
