-- session.end: ends a session, if it is there.
-- KEYS  session, index
-- ARGV  ahead_ms, id
-- Gives how many have ended: one, or none where it had ended or expired.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]
local expires = redis.call('HGET', KEYS[1], 'expires')
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return (expires and tonumber(expires) > now) and 1 or 0
