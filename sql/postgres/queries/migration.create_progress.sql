-- migration.create_progress
-- How far a migration of several steps is. The table is dropped when the migration is complete.
CREATE TABLE IF NOT EXISTS migration_progress (
    version int4 PRIMARY KEY,
    checksum text NOT NULL,
    steps_done int4 NOT NULL,
    -- The last row of the batches, and how many rows they have had.
    position text,
    rows int8 NOT NULL
)
