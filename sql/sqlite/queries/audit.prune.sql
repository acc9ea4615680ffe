-- audit.prune
DELETE FROM audit_events
WHERE id IN (SELECT id FROM audit_events WHERE id < :before ORDER BY id LIMIT :limit)
