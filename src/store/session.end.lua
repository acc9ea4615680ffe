-- session.end: ends a session, if it is there.
-- KEYS  session, index
-- ARGV  id
-- Gives how many have ended: one or none.
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
