-- import.merge
-- One statement, so that a batch takes effect as a whole.
WITH batch AS (
    SELECT * FROM pg_temp.staged_users WHERE number > $1 AND number <= $2 AND decision = 'insert'
), inserted AS (
    INSERT INTO users (id, email, name, password, standing, role, epoch, created, email_verified)
    SELECT id, email, name, password, standing, role, epoch, created, email_verified FROM batch ORDER BY number
    ON CONFLICT DO NOTHING
    RETURNING id
), recipes AS (
    INSERT INTO imported_hashes (recipe, users)
    SELECT recipe, count(*) FROM batch JOIN inserted USING (id) WHERE recipe IS NOT NULL GROUP BY recipe ORDER BY recipe
    ON CONFLICT (recipe) DO UPDATE SET users = imported_hashes.users + excluded.users
), only_key AS (
    INSERT INTO imported_hashes_key (key) SELECT $3::bytea WHERE EXISTS (SELECT FROM inserted) ON CONFLICT DO NOTHING
)
SELECT count(*) AS inserted FROM inserted
