-- session.end: ends a session, if it is there.
-- KEYS  session, index
-- ARGV  offset_ms, id
-- Gives how many have ended: one, or none where it was there no more.
local ended = find(KEYS[1]) and 1 or 0
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return ended
