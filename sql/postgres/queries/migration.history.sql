-- migration.history
SELECT version, name::text, checksum::text FROM refinery_schema_history ORDER BY version
