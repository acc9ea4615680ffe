-- audit.prune
WITH removed AS (
    DELETE FROM audit_events
    WHERE id IN (SELECT id FROM audit_events WHERE id < $1 ORDER BY id LIMIT $2)
    RETURNING 1
)
SELECT count(*) AS events FROM removed
