-- session.ping: the server's time.
-- KEYS  any, for its slot
-- ARGV  ahead_ms
return decimal(now)
