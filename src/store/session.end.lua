-- session.end: ends a session, if it is there.
-- KEYS  session, index
-- ARGV  id
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
