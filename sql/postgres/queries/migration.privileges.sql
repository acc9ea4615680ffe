-- migration.privileges
SELECT current_user::text AS role,
       current_schema()::text AS schema,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
       (SELECT relname::text FROM pg_class
        WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind = 'r'
            AND relname IN ('users', 'audit_events', 'refinery_schema_history') AND NOT pg_has_role(relowner, 'USAGE')
        LIMIT 1) AS table_of_another
