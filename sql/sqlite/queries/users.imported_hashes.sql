-- users.imported_hashes
-- No row if nothing has been imported.
SELECT
    imported_hashes_key.key,
    commonest.recipe,
    (SELECT count(*) FROM users WHERE substr(password, 1, 1) <> '$'),
    (SELECT count(*) FROM users)
FROM imported_hashes_key
CROSS JOIN (SELECT recipe FROM imported_hashes ORDER BY users DESC, recipe LIMIT 1) AS commonest
