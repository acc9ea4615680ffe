-- migration.index
SELECT indisvalid AS is_valid, indrelid = to_regclass($2::text) AS is_of_table
FROM pg_index WHERE indexrelid = to_regclass($1::text)
