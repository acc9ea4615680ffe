-- migration.record
INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
VALUES ($1::int4, $2::text, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), $3::text)
