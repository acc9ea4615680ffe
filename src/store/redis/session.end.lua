-- session.end: ends a session.
-- KEYS     session, index
-- ARGV     offset_ms, session id
-- Returns  the number of sessions ended: 1, or 0 if it was not stored
local ended = find(KEYS[1]) and 1 or 0
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return ended
