-- migration.step_done
UPDATE migration_progress SET steps_done = $2::int4, position = NULL, rows = 0 WHERE version = $1::int4
