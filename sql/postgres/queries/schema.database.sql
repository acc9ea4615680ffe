-- schema.database
SELECT current_database()::text AS name,
       current_setting('server_encoding') AS server_encoding,
       current_setting('client_encoding') AS client_encoding,
       to_regclass('refinery_schema_history') IS NOT NULL AS has_schema
