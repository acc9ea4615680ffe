-- migration.index
-- What has the name in the schema of the table: another schema of the search_path may have an index of this name too.
SELECT named.relnamespace::regnamespace::text AS schema,
       coalesce(pg_index.indisvalid, false) AS is_valid,
       coalesce(pg_index.indrelid = indexed.oid, false) AS is_of_table
FROM pg_class AS indexed
    JOIN pg_class AS named ON named.relnamespace = indexed.relnamespace AND named.relname = $1::text
    LEFT JOIN pg_index ON pg_index.indexrelid = named.oid
WHERE indexed.oid = to_regclass($2::text)
