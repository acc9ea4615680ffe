-- audit.prune
-- With IN instead of an array, a plan for any limit would read the whole table.
WITH removed AS (
    DELETE FROM audit_events
    WHERE id = ANY (ARRAY(SELECT id FROM audit_events WHERE id < $1 ORDER BY id LIMIT $2))
    RETURNING 1
)
SELECT count(*) AS events FROM removed
