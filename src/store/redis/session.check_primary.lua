-- session.check_primary: fails if the server's data may be stale.
-- KEYS     any key
-- ARGV     0
-- Returns  nil
fail_unless_primary(KEYS[1])
return nil
