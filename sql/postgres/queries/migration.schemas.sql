-- migration.schemas
SELECT current_schema()::text AS current,
       (SELECT nspname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = to_regclass('refinery_schema_history')) AS history
