-- migration.lock_holder
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid::int8 << 32 | objid::int8 = $1::int8 AND objsubid = 1
LIMIT 1
