-- migration.progress
INSERT INTO migration_progress AS progress (version, checksum, steps_done, position, rows)
VALUES ($1::int4, $2::text, 0, NULL, 0)
ON CONFLICT (version) DO UPDATE SET checksum = progress.checksum
RETURNING checksum, steps_done, position, rows
