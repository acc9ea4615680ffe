-- migration.batch_done
UPDATE migration_progress SET position = $2::text, rows = $3::int8 WHERE version = $1::int4
