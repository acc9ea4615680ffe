-- import.tables
-- The tables and views of other programs, in the order of their names.
SELECT
    namespaces.nspname::text AS schema,
    tables.relname::text AS name,
    pg_table_is_visible(tables.oid) AS is_visible,
    tables.relkind IN ('r', 'p') AS is_table,
    array_agg(columns.attname::text ORDER BY columns.attnum) AS columns,
    (
        SELECT keys.attname::text FROM pg_catalog.pg_index AS indexes
        JOIN pg_catalog.pg_attribute AS keys ON keys.attrelid = indexes.indrelid AND keys.attnum = indexes.indkey[0]
        WHERE indexes.indrelid = tables.oid AND indexes.indisprimary AND indexes.indnatts = 1
    ) AS key
FROM pg_catalog.pg_class AS tables
JOIN pg_catalog.pg_namespace AS namespaces ON namespaces.oid = tables.relnamespace
JOIN pg_catalog.pg_attribute AS columns ON columns.attrelid = tables.oid AND columns.attnum > 0 AND NOT columns.attisdropped
WHERE tables.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND namespaces.nspname <> 'information_schema' AND namespaces.nspname NOT LIKE 'pg\_%'
GROUP BY namespaces.nspname, tables.relname, tables.oid, tables.relkind
ORDER BY 1, 2
